"""The security log: failed authentications, aggregated so that strangers cannot flood it."""

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


class FailedAuthentications:
    """Counts failures by reason and address, and logs the counts in one line per minute.

    Counts at most MOST_ADDRESSES addresses in a minute; the others are counted together. There is
    no timer: the first request after the minute writes the line, or the end of the process.
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
            self._counts[reason, name if name in self._addresses else "others"] += 1

    def flush_when_due(self) -> None:
        """Log the counts if their minute is over. Cheap if there are none."""
        since = self._since
        if since is not None and abs(timezone.now() - since) >= WINDOW:
            self.flush()

    def flush(self) -> None:
        """Log the counts, if there are any, and reset them."""
        with self._lock:  # One of two threads gets the counts. Log outside the lock.
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

# Not atexit: forked workers, such as granian's, end without running that.
Finalize(None, failed_authentications.flush, exitpriority=0)
