"""The detached process which stops the server when its last user has ended, however that ended.

It is nobody's child and holds two locks in turn, so every ending is the kernel's to report:

- A user takes `users` shared *before* it looks for a watcher. If `watcher` is free, none lives:
  the user takes that lock and passes it, held, to the watcher it starts, so there is never a
  moment in which two are started or one that is being started is missed. Whoever finds a server
  without a watcher (that one was killed) thereby adopts it.
- The watcher waits for `users` alone. Once it has it, nobody uses the server and newcomers wait
  at that lock. It stops the server and lets `watcher` go *before* `users`: a newcomer who gets
  past `users` therefore never takes this ending watcher for a living one, but starts the server
  and a watcher of its own.
- A user killed between launching the server and its first connection has passed `server` on to
  it, so `stop` sees a server that does not answer yet, and waits to stop it.
- If the folder was removed or replaced while the watcher waited, its lock speaks for nothing
  any more: it leaves what is at that path alone. PostgreSQL ends by itself without its data.

Everything is imported at the start: the clone may be gone by the time it is needed.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

from reachscore.embedded import locks
from reachscore.embedded.account import caller
from reachscore.embedded.commands import ENVIRONMENT, leave_running
from reachscore.embedded.discard import discard
from reachscore.embedded.log import open_log
from reachscore.embedded.places import Place
from reachscore.embedded.server import stop

REPOSITORY = Path(__file__).resolve().parents[2]


def ensure_watcher(place: Place, home: Path, *, throwaway: bool) -> None:
    """Start a watcher unless one lives; the caller holds the users lock, shared."""
    lock = locks.take(place.watcher_lock, locks.EXCLUSIVE | locks.AT_ONCE)
    if lock is None:
        return
    try:
        with open_log(place) as log:
            leave_running(
                # -S, -P: the standard library and our own modules, nothing of the environment.
                [
                    *(sys.executable, "-S", "-P", "-m", "reachscore.embedded.watcher"),
                    *(str(place.folder), str(home), str(lock), str(throwaway)),
                ],
                account=caller(),
                log=log,
                held_locks=[lock],
                environment={**ENVIRONMENT, "PYTHONPATH": str(REPOSITORY)},
            )
    finally:
        os.close(lock)  # ours; the watcher's own copy holds on


def watch(place: Place, home: Path, watcher_lock: int, *, throwaway: bool) -> None:
    """Wait for the last user to end, stop the server, and remove a throwaway cluster."""
    users = locks.take(place.users_lock, locks.EXCLUSIVE)
    if users is not None and stop(place) and throwaway:
        discard(place)
        with contextlib.suppress(OSError):
            home.rmdir()  # where the cluster lay outside, an empty one of the caller may be left
    os.close(watcher_lock)
    if users is not None:
        os.close(users)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder_, home_, lock_, throwaway_ = sys.argv[1:]
    watch(Place(Path(folder_)), Path(home_), int(lock_), throwaway=throwaway_ == "True")
