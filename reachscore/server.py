"""The production server: its command line, for `serve` and `run_demo` alike, and what runs it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from granian.cli import entrypoint

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
    return [
        sys.executable,
        "-m",
        "reachscore.server",
        *flags,
        "--no-ws",
        "reachscore.wsgi:application",
    ]


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Give the workers a folder in which they add up their metrics, for as long as they run.

    A new one each start, the owner's alone: what an earlier start counted is no part of the sum.
    """
    if not os.environ.get("METRICS_TOKEN"):
        yield
        return
    folder = tempfile.mkdtemp(prefix="reachscore-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Be granian, with what has to outlive its workers around it."""
    with metrics_folder():
        entrypoint()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
