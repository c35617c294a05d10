"""The production server's command line, for `serve` and `run_demo` alike."""

import os
import sys
from typing import Final

LONGEST_IDLE_SECONDS: Final = "600"


def server_command(*, host: str, port: int, workers: int | None = None) -> list[str]:
    """Return the command that serves the WSGI application; by default a worker a core.

    Two threads a worker, so that one slow request does not hold up the next; they are kept idle as
    long as granian lets them, because a thread takes its database connection with it.
    """
    options = {
        "--interface": "wsgi",
        "--host": host,
        "--port": str(port),
        "--workers": str(workers or os.cpu_count() or 1),
        "--blocking-threads": "2",
        "--blocking-threads-idle-timeout": LONGEST_IDLE_SECONDS,
        # Longer than any request may take; a worker that is not done by then is killed.
        "--workers-kill-timeout": "30",
        "--http": "1",
        "--log-level": "warning",
    }
    flags = [part for option in options.items() for part in option]
    return [sys.executable, "-m", "granian", *flags, "--no-ws", "reachscore.wsgi:application"]
