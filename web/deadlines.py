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
    "leak_report": 25.0,  # What is not done by then is a 503: the scanner sends it again.
    "wait": 8.0,  # Each single wait: all that bounds an export, and a bulk that shows its progress.
    "command": math.inf,
}
# A healthy database answers sooner, and a standby that keeps up confirms sooner.
SHORT_WAIT: Final = 1.0

# What a thread waits for: a statement of its own, one in a transaction, or a COMMIT.
STATEMENT, TRANSACTION, COMMIT = range(3)


class DeadlineExpired(psycopg.OperationalError):
    """The database did not answer in time."""


class TooManyWait(psycopg.OperationalError):
    """Nothing was sent: too many threads of this worker wait for the database."""


class Waits:
    """The waits of this process's threads: when each began, what for, and if it must be short.

    In a worker all threads but one may wait for long, two of them in transactions: somebody always
    answers, and verbs without their standby stop no authentication.
    """

    def __init__(self) -> None:
        self.silent_at = -math.inf  # When the database last left a wait without an answer.
        self._threads, self._longest = math.inf, DEADLINES["command"]
        self._at_hand: dict[int, tuple[float, int, bool]] = {}

    def limit(self, threads: float) -> None:
        """Begin to serve with so many threads. Waits outside a request have an end, too."""
        self._threads, self._longest = threads, DEADLINES["wait"]

    def begin(self, kind: int, deadline: float | None) -> float:
        """Note a wait of this thread, or go on with it. Return how many seconds it may take.

        Raises DeadlineExpired; TooManyWait for a wait that must be short, if the database hangs.
        """
        now = time.monotonic()
        seconds = min(deadline - now, DEADLINES["wait"]) if deadline else self._longest
        # Noted first: of two threads that come at the same time, one sees the other at least.
        began, *_ = self._at_hand.setdefault(thread := get_ident(), (now, kind, False))
        if (noted := len(self._at_hand)) >= self._threads - (kind >= TRANSACTION):
            others = [wait for other, wait in tuple(self._at_hand.items()) if other != thread]
            is_last = noted >= self._threads
            if is_last or all(other >= TRANSACTION for _, other, _ in others):
                seconds = min(seconds, began + SHORT_WAIT - now)
                self._at_hand[thread] = began, kind, True
                is_silent = all(
                    since < (self.silent_at if is_short else max(self.silent_at, now - SHORT_WAIT))
                    for since, _, is_short in others
                )
                commits = [now - since for since, other, _ in others if other == COMMIT]
                # Sooner for a commit: the locks that it holds were waited for a moment longer.
                if (is_last and is_silent and began == now) or (
                    kind >= TRANSACTION and max(commits, default=0) > SHORT_WAIT * 0.75
                ):
                    self.end()
                    raise TooManyWait("Other threads wait for the database.")
        if seconds <= 0:
            self.end()
            raise DeadlineExpired("No time is left for the database.")
        return seconds

    def end(self) -> None:
        """Note that the wait of this thread is over. Do nothing if none is noted."""
        self._at_hand.pop(get_ident(), None)


waits: Final = Waits()
