"""The log that the server, and a failing watcher, write to."""

import os
from typing import IO

from reachscore.embedded.places import Place

LARGEST = 1_000_000  # bytes; beyond, the next start keeps it as server.log.1 and begins anew
TAIL_LINES = 12


def open_log(place: Place) -> IO[bytes]:
    """Open the log for a process to append to; it holds queries, so it is its owner's alone."""
    descriptor = os.open(place.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if os.fstat(descriptor).st_size > LARGEST:
        os.close(descriptor)
        place.log.replace(place.log.with_suffix(".log.1"))
        return open_log(place)
    return os.fdopen(descriptor, "ab")


def tail(place: Place) -> str:
    """Return the last lines, for the error of a start that failed."""
    try:
        text = place.log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-TAIL_LINES:])
