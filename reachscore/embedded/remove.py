"""Remove an embedded PostgreSQL with its data: `python3 -m reachscore.embedded.remove <home>`."""

import os
import sys
import time
from pathlib import Path

from reachscore.embedded import locks
from reachscore.embedded.account import caller
from reachscore.embedded.discard import discard
from reachscore.embedded.errors import EmbeddedPostgresError
from reachscore.embedded.places import Place, check_owner, outside
from reachscore.embedded.server import PAUSE, stop

PATIENCE = 1.0  # seconds in which a command that is just ending may end


def remove(home: Path) -> None:
    """Stop the server of this home and remove what it has, inside and outside; nothing is fine.

    Raises EmbeddedPostgresError while somebody uses it.
    """
    home = home.resolve()
    for place in [outside(home), Place(home)] if os.geteuid() == 0 else [Place(home)]:
        if not os.path.lexists(place.folder):
            discard(place)  # its socket folder, or what a killed removal left
            continue
        check_owner(place.folder, caller())
        if place.users_lock.exists():
            _stop_and_discard(place)
        elif any(place.folder.iterdir()):
            raise EmbeddedPostgresError(
                f"{place.folder} is not removed: it holds no embedded PostgreSQL."
            )
        else:
            place.folder.rmdir()


def _stop_and_discard(place: Place) -> None:
    users = _alone(place)
    if users is None:
        return
    try:
        if not stop(place):
            raise EmbeddedPostgresError(
                f"The PostgreSQL of {place.folder} does not stop; {place.log} may say why."
            )
        discard(place)
    finally:
        os.close(users)


def _alone(place: Place) -> int | None:
    """Hold the users lock alone, None if the place has gone meanwhile; refuse while it is used.

    Who cannot get it alone but shared meets users; not even shared, a watcher that is just
    stopping the server, and that is waited for.
    """
    deadline = time.monotonic() + PATIENCE
    while place.users_lock.exists():
        if (alone := locks.take(place.users_lock, locks.EXCLUSIVE | locks.AT_ONCE)) is not None:
            return alone
        if (shared := locks.take(place.users_lock, locks.SHARED | locks.AT_ONCE)) is not None:
            os.close(shared)
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"The PostgreSQL of {place.folder} is still in use: end the commands, "
                    "servers and shells that use it first."
                )
        time.sleep(PAUSE)
    return None


if __name__ == "__main__":
    try:
        (home_,) = sys.argv[1:]
        remove(Path(home_))
    except ValueError:
        sys.exit(__doc__)
    except (EmbeddedPostgresError, OSError) as problem:
        sys.exit(str(problem))
