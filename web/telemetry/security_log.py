"""The security log: who failed to get in, counted, so that strangers cannot flood it."""

import logging
from collections import Counter
from datetime import datetime, timedelta
from multiprocessing.util import Finalize
from threading import Lock
from typing import Final

from django.utils import timezone

logger = logging.getLogger("reachscore.security")

WINDOW: Final = timedelta(minutes=1)
MOST_ADDRESSES: Final = 100
THE_REST: Final = "others"


class FailedAuthentications:
    """Counts by reason and address, and writes what it counted as one line a minute.

    Holds MOST_ADDRESSES addresses at most; the rest of a minute's are counted together. No thread
    wakes up for it: the next request after the minute writes the line, or the end of the process.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._addresses: set[str] = set()
        self._since: datetime | None = None

    def count(self, reason: str, address: str | None) -> None:
        """Count one failure; `reason` is the refusal's code."""
        self.flush_when_due()
        name = address or "unknown"
        with self._lock:
            if self._since is None:
                self._since = timezone.now()
            if len(self._addresses) < MOST_ADDRESSES:
                self._addresses.add(name)
            self._counts[reason, name if name in self._addresses else THE_REST] += 1

    def flush_when_due(self) -> None:
        """Write the line once its minute is over; costs next to nothing where nobody failed."""
        since = self._since
        if since is not None and abs(timezone.now() - since) >= WINDOW:
            self.flush()

    def flush(self) -> None:
        """Write what was counted, if anything, and begin anew."""
        with self._lock:  # Of two threads, one takes the counts; the line is written outside.
            since, counts = self._since, self._counts
            self._since, self._counts, self._addresses = None, Counter(), set()
        if since is None:
            return
        failures = [
            {"reason": reason, "address": address, "count": count}
            for (reason, address), count in counts.most_common()
        ]
        fields = {"since": since.isoformat(timespec="seconds"), "failures": failures}
        logger.warning("failed authentications", extra={"fields": fields})


failed_authentications: Final = FailedAuthentications()

# Not atexit: a forked worker, as granian's are, ends without running that.
Finalize(None, failed_authentications.flush, exitpriority=0)
