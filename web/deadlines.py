"""Deadlines of requests, and limits on how many threads of a worker wait for the database.

PostgreSQL's time-outs end no wait for a frozen server, a silent network or a lost standby.
"""

import math
import time
from threading import get_ident
from typing import Final

import psycopg

# How many seconds a request may take, up to the end of its last wait for the database.
DEADLINES: Final = {
    "request": 8.0,
    "bulk": 25.0,  # Cascades, dry runs for many keys. nginx gives up after 30 s.
    "wait": 8.0,  # Each single wait: all that bounds an export, and a bulk that shows its progress.
    "command": math.inf,
}
# No healthy database lets a request wait so long, and no standby that keeps up.
SHORT_WAIT: Final = 1.0
# As many threads of a worker may wait longer than that inside a transaction.
MOST_LONG_TRANSACTIONS: Final = 2

# What a thread waits for: a statement of its own, one in a transaction, or a COMMIT.
STATEMENT, TRANSACTION, COMMIT = range(3)


class DeadlineExpired(psycopg.OperationalError):
    """The database did not answer in time."""


class TooManyWait(psycopg.OperationalError):
    """Nothing was sent: too many threads of this worker wait for the database."""


class Waits:
    """The waits of this process's threads: when each began, what for, and if it must be short."""

    def __init__(self) -> None:
        self._at_hand: dict[int, tuple[float, int, bool]] = {}
        self.is_silent = False  # The database left a thread without an answer, and gave none since.
        self._threads = math.inf  # Only a worker has limits.
        self._longest = DEADLINES["command"]

    def limit(self, threads: int) -> None:
        """Keep one of so many threads free, and let no wait outside a request last for ever."""
        self._threads, self._longest = threads, DEADLINES["wait"]

    def begin(self, kind: int, deadline: float | None) -> float:
        """Note a wait of this thread, or go on with it. Return how many seconds it may take.

        Raises:
            DeadlineExpired: if the time is up.
            TooManyWait: if this is the last free thread, and the database seems to hang.
        """
        now = time.monotonic()
        seconds = min(deadline - now, DEADLINES["wait"]) if deadline else self._longest
        # Noted first: of two threads that come at the same time, one sees the other at least.
        began, *_ = self._at_hand.setdefault(thread := get_ident(), (now, kind, False))
        if len(self._at_hand) >= self._threads - 1:
            others = [wait for other, wait in tuple(self._at_hand.items()) if other != thread]
            is_last = len(others) >= self._threads - 1
            long = sum(now - since > SHORT_WAIT and not short for since, _, short in others)
            hangs = self.is_silent or long == len(others)
            if kind >= TRANSACTION:  # Its commit could only wait, too.
                committing = (now - since for since, other, _ in others if other == COMMIT)
                hangs = hangs or max(committing, default=0) > SHORT_WAIT / 2
            if is_last and hangs:
                self.end()
                raise TooManyWait("All other threads wait for the database.")
            in_transaction = sum(other >= TRANSACTION for _, other, _ in others)
            if is_last or (kind >= TRANSACTION and in_transaction >= MOST_LONG_TRANSACTIONS):
                self._at_hand[thread] = began, kind, True
                seconds = min(seconds, began + SHORT_WAIT - now)
        if seconds <= 0:
            self.end()
            raise DeadlineExpired("No time is left for the database.")
        return seconds

    def end(self) -> None:
        """Note that the wait of this thread is over. Do nothing if none is noted."""
        self._at_hand.pop(get_ident(), None)

    def refuse_transaction(self) -> None:
        """Raise TooManyWait if a commit and another transaction wait for long already.

        Without its standby no commit ends, and other verbs of the organization wait for its lock.
        """
        now, noted = (
            time.monotonic(),
            tuple(self._at_hand.values()) if self._threads < math.inf else (),
        )
        long = [kind for began, kind, _ in noted if kind and now - began > SHORT_WAIT]
        if COMMIT in long and len(long) >= MOST_LONG_TRANSACTIONS:
            raise TooManyWait("Other commits wait.")


waits: Final = Waits()
