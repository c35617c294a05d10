"""Remove everything of a place, for good."""

import contextlib
import glob
import os
import shutil

from reachscore.embedded.account import caller
from reachscore.embedded.places import Place, check_owner

REMOVED = ".removed"


def discard(place: Place) -> None:
    """Remove a place whose server has stopped; the caller holds its users lock alone.

    It is renamed before anything in it goes, so a newcomer finds it whole and waits for the lock,
    or finds none and makes a new one: never half of it. The socket folder goes first, while the
    lock still speaks for that path. What an earlier, killed removal left is swept too.
    """
    if place.socket_folder.parent != place.folder:
        shutil.rmtree(place.socket_folder, ignore_errors=True)
    if os.path.lexists(place.folder):
        check_owner(place.folder, caller())
        place.folder.rename(f"{place.folder}{REMOVED}-{os.getpid()}")
    for leftover in glob.iglob(f"{glob.escape(str(place.folder))}{REMOVED}-*"):
        with contextlib.suppress(FileNotFoundError):  # another removal sweeps the same
            shutil.rmtree(leftover)
