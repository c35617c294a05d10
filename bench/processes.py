"""Start, place, account for and end processes: those that a run started, no others."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Never

from bench.machine import ROOT
from reachscore.server import end_with_parent

Process = subprocess.Popen[bytes]

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


def leave(*_: object) -> Never:
    """Go through every `finally` on the way out, for SIGTERM as for Ctrl-C."""
    raise SystemExit(1)


def end_tidily() -> None:
    """Let a signal that ends this program end what it started, too."""
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, leave)


@contextmanager
def running(
    command: list[str], *, environ: Mapping[str, str], output: IO[bytes] | None = None
) -> Iterator[Process]:
    """Start a program in a process group of its own; end all of it on exit.

    The kernel ends it where this program is killed.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.DEVNULL,
        stderr=output or subprocess.DEVNULL,
        process_group=0,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - there is one thread here
    )
    try:
        yield process
    finally:
        end(process)


def end(process: Process) -> None:
    """End a process with its group; a worker that was just starting misses the first signal."""
    process.terminate()
    for request, seconds in ((signal.SIGTERM, 2), (signal.SIGKILL, 5)):
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, request)
        else:
            return
    process.wait()


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            children.setdefault(_stat(int(folder.name))[1], []).append(int(folder.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def parent_of(pid: int) -> int:
    return _stat(pid)[1]


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its descendants have used, user and system."""
    total = 0
    for one in tree(pid):
        with suppress(OSError):
            user, system = _stat(one)[11:13]
            total += user + system
    return total / TICKS_A_SECOND


def pin(pid: int, cores: Iterable[int]) -> None:
    """Let a process and its descendants, with all their threads, run on these cores only."""
    for one in tree(pid):
        for task in Path(f"/proc/{one}/task").glob("[0-9]*"):
            with suppress(OSError):
                os.sched_setaffinity(int(task.name), cores)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on."""
    with ExitStack() as held:
        probes = [held.enter_context(closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _stat(pid: int) -> list[int]:
    """Return the numbers of /proc/<pid>/stat that follow the state: parent, …, utime, stime."""
    _, _, numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
    return [0, *map(int, numbers.split()[1:])]
