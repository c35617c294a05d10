"""The cluster that settings name: started by whoever needs it first, shared by all who use it."""

import contextlib
import functools
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from reachscore.embedded import locks
from reachscore.embedded.binaries import Binaries, find_binaries
from reachscore.embedded.copies import runnable
from reachscore.embedded.data import data_folder
from reachscore.embedded.errors import EmbeddedPostgresError
from reachscore.embedded.log import tail
from reachscore.embedded.places import Place, place_for
from reachscore.embedded.server import PAUSE, Answer, ask, launch, signal_postmaster
from reachscore.embedded.watcher import ensure_watcher

LAUNCHES = 2  # by one process, before it gives up
START_WITHIN = 60.0  # seconds, a recovery after a crash included
UNREACHABLE_AFTER = 3.0  # seconds; a server listens long before it is ready

# The users lock of this process by place: held until it ends, and by its forked children.
_held: dict[Place, int] = {}

# One thread at a time ensures, and none forks meanwhile: a child born in the middle would inherit
# the server lock for life.
_turn = threading.Lock()
os.register_at_fork(
    before=_turn.acquire, after_in_parent=_turn.release, after_in_child=_turn.release
)


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL of our own at `home`, an absolute path whose folder need not exist.

    It runs while any process uses it. A throwaway one is quick rather than safe from a crash of
    the machine, and is removed with its home when the last user ends.
    """

    home: Path
    throwaway: bool = False

    @property
    def socket_folder(self) -> Path:
        """What to connect to as HOST; the same for every process, running or not."""
        return _settled(self.home)[0].socket_folder

    @property
    def psql(self) -> Path:
        """The shell that belongs to the server."""
        return _settled(self.home)[1].program("psql")

    @property
    def is_used_here(self) -> bool:
        """Whether this process has ensured the server and so keeps it from being stopped."""
        return _settled(self.home)[0] in _held

    def ensure_running(self) -> None:
        """Return when the server takes connections, and keep it for the life of this process.

        Raises EmbeddedPostgresError. It may be called at any time from any thread, and mends a
        server that was killed.
        """
        with _turn:
            place, binaries = _settled(self.home)
            try:
                _join(place)
                ensure_watcher(place, self.home.resolve(), throwaway=self.throwaway)
                _bring_up(place, binaries, throwaway=self.throwaway)
            except (OSError, subprocess.SubprocessError) as error:
                raise EmbeddedPostgresError(
                    f"The embedded PostgreSQL in {place.folder} cannot be started: {error}. "
                    "Repair that, or set DATABASE_URL."
                ) from error


@functools.cache
def _settled(home: Path) -> tuple[Place, Binaries]:
    """Find programs and place once a process; for root this runs them as nobody."""
    binaries = find_binaries()
    return place_for(home.resolve(), binaries), binaries


def _join(place: Place) -> None:
    """Hold the users lock; wait where a watcher is just stopping the server."""
    with contextlib.suppress(KeyError):
        if locks.is_of(_held[place], place.users_lock):
            return
        os.close(_held.pop(place))  # the folder was removed under us
    while True:
        with contextlib.suppress(FileNotFoundError):  # renamed away in the middle: make it again
            place.make()
        if (lock := locks.take(place.users_lock, locks.SHARED)) is not None:
            _held[place] = lock
            return


def _bring_up(place: Place, binaries: Binaries, *, throwaway: bool) -> None:
    """Wait for a server that takes connections; whoever gets the server lock launches it.

    While somebody else holds that lock a server is starting, running or ending, or another
    process makes the data folder. If we launched one and get the lock again, it has died: once
    that may be a kill, twice it is a failure. One that runs but cannot be reached, because its
    socket was deleted, is stopped to begin anew.
    """
    launches = 0
    begun = reached = time.monotonic()
    while (answer := ask(place)) is not Answer.READY:
        now = time.monotonic()
        lock = locks.take(place.server_lock, locks.EXCLUSIVE | locks.AT_ONCE)
        if lock is not None:
            try:
                if launches == LAUNCHES:
                    raise _failure(place, "ended while it was starting")
                programs = runnable(binaries, place)
                data = data_folder(place, programs, throwaway=throwaway, server_lock=lock)
                postgres = programs.program("postgres")
                launch(place, postgres, data, throwaway=throwaway, server_lock=lock)
                launches += 1
            finally:
                os.close(lock)
            reached = time.monotonic()
        elif answer is Answer.NOT_YET or (
            now > reached + UNREACHABLE_AFTER and signal_postmaster(place, signal.SIGINT)
        ):
            reached = now  # it listens, or was told to end
        if now > begun + START_WITHIN:
            raise _failure(place, f"took no connection within {START_WITHIN:.0f} seconds")
        time.sleep(PAUSE)


def _failure(place: Place, what: str) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"The embedded PostgreSQL {what}; {place.log} ends with:\n{tail(place)}\n"
        "Repair that, or set DATABASE_URL."
    )
