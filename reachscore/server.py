"""The production server, granian: its command line, and the process that runs it."""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final

from django.core.management.base import CommandError
from granian.cli import entrypoint

from web.deadlines import waits

THREADS_A_WORKER: Final = 4
PR_SET_PDEATHSIG: Final = 1
ENDING: Final = (signal.SIGINT, signal.SIGTERM)


def end_with_parent(how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to send this child a signal when its parent dies."""
    if sys.platform == "linux":  # Elsewhere an orphaned server keeps its port until it is ended.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)


def take_signals() -> None:
    """Let one thread take SIGINT and SIGTERM for this process, and call granian's handler once.

    Must be called before other threads start: they inherit the block, as a forked worker does.
    """
    # Unblocked, the kernel may give a signal to a thread that is just starting. Python's handler
    # then never runs, since the main thread sleeps on: 4 of 21 servers stopped under load.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    Thread(target=_handle_signal, daemon=True).start()


def _handle_signal() -> None:
    sign = signal.sigwait(ENDING)
    handler = signal.getsignal(sign)
    if callable(handler) and handler is not signal.default_int_handler:
        handler(sign, None)
    else:
        os._exit(0)  # granian has not begun.


def begin_worker() -> None:
    """Make this worker process end with its parent, and on SIGINT and SIGTERM."""
    # Forked, it has its parent's handler, which ends nothing, until granian sets another one.
    for sign in ENDING:
        signal.signal(sign, signal.SIG_DFL)
    take_signals()
    # Not SIGTERM: an orphan that does not end has nobody to kill it.
    end_with_parent(signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent and parent.pid != os.getppid():  # The parent was killed before prctl().
        raise SystemExit
    waits.limit(THREADS_A_WORKER)


def refuse_taken_port(host: str, port: int, *, another: str) -> None:
    """Raise CommandError if `port` is in use or is no port; `another` says how to choose one."""
    # granian binds with SO_REUSEPORT: two servers could share a port and take turns, unnoticed.
    if not 0 < port < 2**16:
        raise CommandError("A port is a number from 1 to 65535.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}). If a server was left over, end "
                f"it: `ss -ltnp` shows its pid. Or choose another: {another}."
            ) from None


def server_command(*, host: str, port: int, workers: int | None = None) -> list[str]:
    """Return the command that serves the WSGI application, by default with one worker per core."""
    return [
        *(sys.executable, "-m", "reachscore.server"),
        "--interface=wsgi",
        f"--host={host}",
        f"--port={port}",
        f"--workers={workers or os.cpu_count() or 1}",
        # Two keep a core busy while one waits for PostgreSQL; one is kept free by web.deadlines.
        f"--blocking-threads={THREADS_A_WORKER}",
        # As long as granian allows: a thread's database connection ends with the thread.
        "--blocking-threads-idle-timeout=600",
        # Seconds until a worker that does not end is killed; no request takes that long.
        "--workers-kill-timeout=30",
        "--http=1",
        # A longer request head is refused with 431, with or without a proxy in front.
        f"--http1-buffer-size={32 * 1024}",
        "--log-level=warning",
        "--no-ws",
        # If a worker dies twice within 5.5 s, the server ends: it would never start.
        "--respawn-failed-workers",
        "reachscore.wsgi:application",
    ]


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Make a temporary folder in which the workers share their metrics (multiprocess mode)."""
    # A new one at each start: the counts of an earlier start must not be added.
    with ExitStack() as stack:
        if os.environ.get("METRICS_TOKEN"):
            try:
                folder = TemporaryDirectory("", "reachscore-metrics-", ignore_cleanup_errors=True)
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(folder)
            except OSError as error:
                sys.stderr.write(f"Metrics are off: no temporary folder can be made: {error}.\n")
                del os.environ["METRICS_TOKEN"]
        yield


def main() -> None:
    """Run granian inside the metrics folder, which has to outlive the workers."""
    take_signals()
    with metrics_folder():
        entrypoint()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
