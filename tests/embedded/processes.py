"""Real processes for these tests: users of a cluster, and looks at what they leave behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reachscore.embedded.places import Place, outside, socket_path
from reachscore.embedded.server import Answer, ask

REPOSITORY = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0

# Ensures the cluster, says so, and does it again for every line it reads; ends with its input.
USE = """
import os, signal, sys
from pathlib import Path
from reachscore.embedded import binaries
from reachscore.embedded.cluster import Cluster
from reachscore.embedded.errors import EmbeddedPostgresError

signal.signal(signal.SIGINT, signal.default_int_handler)  # Ignored, where tests run behind "&".
cluster = Cluster(home=Path(sys.argv[1]), throwaway="throwaway" in sys.argv)
if "nothing local" in sys.argv:
    binaries.LOCAL_FOLDERS = ("nowhere/*/bin",)
try:
    cluster.ensure_running()
except EmbeddedPostgresError as error:
    sys.exit(str(error))
if "fork" in sys.argv and os.fork():
    os._exit(0)
print("ready", flush=True)
for line in sys.stdin:
    cluster.ensure_running()
    print("ready", flush=True)
"""


class User:
    """A process that uses the cluster at `home`."""

    def __init__(
        self,
        home: Path,
        *options: str,
        python: Sequence[str] = (sys.executable,),
        modules: Sequence[Path] = (),
        environment: dict[str, str] | None = None,
        uid: int | None = None,
    ) -> None:
        search = os.pathsep.join(str(path) for path in (REPOSITORY, *modules))
        self.process = subprocess.Popen(
            [*python, "-c", USE, str(home), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {}), "PYTHONPATH": search},
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def wait_ready(self) -> "User":
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(self.refusal())
        return self

    def ensure_again(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        self.wait_ready()

    def end(self) -> None:
        """End as a command does."""
        self.process.communicate(timeout=30)

    def hang_up(self) -> None:
        """Close the input that it, or its child, reads."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    def send(self, signal_number: int) -> None:
        self.process.send_signal(signal_number)
        self.process.wait(timeout=30)

    def refusal(self) -> str:
        """Return what it said when it could not have the cluster."""
        return self.process.communicate(timeout=90)[1]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)


def is_up(home: Path) -> bool:
    return ask(Place(home)) is Answer.READY


def server_pid(home: Path) -> int:
    """Return the pid of the server that listens for this home."""
    lock = Path(f"{socket_path(Place(home).socket_folder)}.lock")
    return int(lock.read_text().splitlines()[0])


def data_folder(home: Path) -> Path:
    (folder,) = Place(home).data_folders
    return folder


def processes_naming(folder: Path) -> dict[int, str]:
    """Return the command lines, by pid, of living processes that have this folder in them."""
    listed = subprocess.run(
        ["ps", "-e", "-ww", "-o", "pid=,stat=,command="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return {
        int(row[0]): row[2]
        for row in rows
        if len(row) == 3 and str(folder) in row[2] and not row[1].startswith("Z")
    }


def watcher_pid(home: Path) -> int:
    """Return the pid of the watcher of this home."""
    found = [pid for pid, command in processes_naming(home).items() if ".watcher " in command]
    assert len(found) == 1, found
    return found[0]


def wait_until(promise: Callable[[], object], *, seconds: float = 15) -> None:
    """Wait for something another process does; fail with the promise's name if it never comes."""
    deadline = time.monotonic() + seconds
    while not promise():
        assert time.monotonic() < deadline, f"{promise} has not come true in {seconds} seconds"
        time.sleep(0.01)


def everything_of(home: Path) -> list[Path]:
    """Return what is left on disk of this home, inside and outside."""
    return [path for path in (home, outside(home).folder) if os.path.lexists(path)]
