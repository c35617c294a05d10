"""The machine: what it is, and how processes on it are started, placed, timed and ended."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from subprocess import DEVNULL
from typing import IO, Any, Final

import psutil

from reachscore.server import end_with_parent

ROOT: Final = Path(__file__).resolve().parent.parent
LOCAL: Final = ROOT / ".local" / "bench"  # What is made on this machine; git ignores it.
CORES: Final = sorted(os.sched_getaffinity(0))
PACKAGES: Final = """
    django djangorestframework granian psycopg djangorestframework-api-key django-rest-knox
    django-ninja redis
"""


def say(text: str) -> None:
    """Show progress, on stderr."""
    sys.stderr.write(f"{datetime.now().astimezone():%H:%M:%S} {text}\n")


def require_tools() -> None:
    """End the program with a hint if it cannot run here."""
    if sys.platform != "linux" or not all(map(shutil.which, ("wrk", "redis-server"))):
        sys.exit("It needs Linux, wrk and Redis. Debian, Ubuntu: apt install wrk redis-server")


def describe(postgres: str) -> str:
    """Return what a reader needs to repeat the run or to doubt it."""
    command = " ".join(["python -m bench", *sys.argv[1:]])
    return f"`{command}`, {moment()}.\n\n{environment(postgres)}"


def moment() -> str:
    """Return the time and the commit."""
    commit = _said("git", "rev-parse", "--short=12", "HEAD")
    if _said("git", "status", "--porcelain", "--", "."):
        commit += " with changes"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit}"


def environment(postgres: str) -> str:
    """Return the machine, and the versions of what runs."""
    processors = re.findall(r"(?m)^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text())
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GiB, Linux {platform.release()}"
    versions = {
        "Python": platform.python_version(),
        "PostgreSQL": postgres,
        "wrk": _said("wrk", "-v").split()[1].removeprefix("debian/"),
        "Redis": _said("redis-server", "--version").split()[2].removeprefix("v="),
        **{name: version(name) for name in PACKAGES.split()},
    }
    return (
        f"{[*processors, platform.machine()][0]}, {len(CORES)} cores, {memory}.\n\n"
        f"{', '.join(f'{name} {number}' for name, number in versions.items())}."
    )


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


@contextmanager
def running(
    command: list[str], *, environ: Mapping[str, str], output: IO[bytes] | int = DEVNULL
) -> Iterator[int]:
    """Start a program in a process group of its own; end all of it on exit. Yield its pid.

    The kernel ends it if this program is killed.
    """
    options: dict[str, Any] = {"stdin": DEVNULL, "stdout": output, "stderr": output}
    options["preexec_fn"] = end_with_parent  # There is one thread here.
    process = subprocess.Popen(command, cwd=ROOT, env=environ, process_group=0, **options)
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:  # A worker that was just starting missed the signal.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its descendants, ended ones included."""
    used = 0.0
    for one in family(pid):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's come and go.
            used += sum(one.cpu_times()[:4])
    return used


def pin(pid: int, cores: Iterable[int]) -> None:
    """Let a process and its descendants, with all their threads, run on these cores only."""
    for one in family(pid):
        with suppress(psutil.Error, OSError):  # PostgreSQL's come and go.
            for thread in one.threads():
                os.sched_setaffinity(thread.id, cores)


@contextmanager
def apart(servers: Iterable[int], *, database: int) -> Iterator[None]:
    """Give the servers one core; PostgreSQL and this program with wrk and Redis the next one."""
    pin(database, CORES[:2][-1:])
    pin(os.getpid(), CORES[:2][-1:])
    for pid in servers:  # Last: they descend from this program.
        pin(pid, CORES[:1])
    yield
    pin(database, CORES)
    pin(os.getpid(), CORES)
