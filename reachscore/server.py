"""The production server: its command line, for `serve` and `run_demo` alike, and what runs it."""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from django.core.management.base import CommandError
from granian.cli import entrypoint

THREADS_A_WORKER: Final = 3
LONGEST_IDLE_SECONDS: Final = 600
LONGEST_HEAD_BYTES: Final = 32 * 1024
PR_SET_PDEATHSIG: Final = 1
LISTENS: Final = "0A"  # In /proc/net/tcp.


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent is killed; called in the child, on Linux only.

    No other system can, and there a server that was left behind holds its port until it is ended.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def begin_worker() -> None:
    """Make this worker process end with its parent, and whenever it is told to.

    Until granian has set its own handler, a forked worker has its parent's, which ends nothing.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    parent = multiprocessing.parent_process()
    if parent and parent.pid != os.getppid():  # It was killed meanwhile.
        raise SystemExit


def refuse_taken_port(host: str, port: int, *, another: str) -> None:
    """Refuse to share a port: two granians can listen on one and would take turns, unnoticed.

    `another` is how to choose another one. Raises CommandError.
    """
    if not 0 < port < 2**16:
        raise CommandError("A port is a number from 1 to 65535.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            pids = " ".join(listeners(port))
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}). "
                + f"A server or a worker that was left over? End it: kill {pids}. " * bool(pids)
                + f"Or choose another: {another}."
            ) from None


def listeners(port: int) -> list[str]:
    """Return the pids of processes that listen on this port, as far as Linux shows them to us."""
    sockets = set()
    for table in Path("/proc/net").glob("tcp*"):
        for _, address, _, state, *fields in map(str.split, table.read_text().splitlines()[1:]):
            if state == LISTENS and address.endswith(f":{port:04X}"):
                sockets.add(f"socket:[{fields[5]}]")
    pids = set()
    for descriptor in Path("/proc").glob("[1-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(descriptor) in sockets:
                pids.add(descriptor.parts[2])
    return sorted(pids, key=int)


def server_command(*, host: str, port: int, workers: int | None = None) -> list[str]:
    """Return the command that serves the WSGI application; by default a worker a core.

    Three threads a worker: two keep a core busy while one waits for PostgreSQL. They are kept idle
    as long as granian lets them, because a thread takes its database connection with it.
    """
    return [
        *(sys.executable, "-m", "reachscore.server"),
        "--interface=wsgi",
        f"--host={host}",
        f"--port={port}",
        f"--workers={workers or os.cpu_count() or 1}",
        f"--blocking-threads={THREADS_A_WORKER}",
        f"--blocking-threads-idle-timeout={LONGEST_IDLE_SECONDS}",
        # Longer than any request may take; a worker that is not done by then is killed.
        "--workers-kill-timeout=30",
        "--http=1",
        # A request's head, whatever proxy is in front; a longer one is 431.
        f"--http1-buffer-size={LONGEST_HEAD_BYTES}",
        "--log-level=warning",
        "--no-ws",
        # Two deaths of one worker within 5.5 s end the server: it cannot start.
        "--respawn-failed-workers",
        "reachscore.wsgi:application",
    ]


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Give the workers a folder in which they add up their metrics, for as long as they run.

    A new one each start, the owner's alone: what an earlier start counted is no part of the sum.
    """
    with ExitStack() as stack:
        if os.environ.get("METRICS_TOKEN"):
            try:
                folder = TemporaryDirectory("", "reachscore-metrics-", ignore_cleanup_errors=True)
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(folder)
            except OSError as error:
                sys.stderr.write(
                    f"There are no metrics, for want of a temporary folder: {error}.\n"
                )
                del os.environ["METRICS_TOKEN"]
        yield


def main() -> None:
    """Be granian, with what has to outlive its workers around it."""
    with metrics_folder():
        entrypoint()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
