"""How many reports of exposed keys are taken: from one address, from one network, from everybody.

Fixed windows, each begun by its first report. A report counts in a window only if all windows
before it had room: else one address could use up what everybody may send.
"""

import math
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Final

from django.db import connection
from django.utils import timezone

from notices.models import ReportWindow
from web.errors.refusals import OfCatalogue

HOUR: Final = timedelta(hours=1)
SECOND: Final = timedelta(seconds=1)
UNKNOWN: Final = ("unknown", 60, HOUR)  # All clients whose address no proxy named.
SMALL: Final = ("small", 100, SECOND)
LARGE: Final = ("large", 5, SECOND)
MOST_KEYS_OF_SMALL: Final = 10

# An upsert, exact under concurrency, in a transaction of its own. The table is unlogged, so that
# waits for no disk. If a later window is full, the first is not touched either: so strangers with
# many addresses make no more rows than everybody may send reports. A window that ends too late is
# the mistake of a clock, and begins anew.
_TAKE: Final = """
    INSERT INTO notices_reportwindow AS w (subject, ends_at, remaining)
    SELECT %(subject)s, %(ends_at)s, %(most)s - 1
     WHERE NOT EXISTS (SELECT FROM notices_reportwindow
                        WHERE subject = ANY(%(later)s) AND remaining = 0 AND ends_at > %(now)s)
        ON CONFLICT (subject) DO UPDATE
       SET ends_at = CASE WHEN IS_OPEN THEN w.ends_at ELSE EXCLUDED.ends_at END,
           remaining = CASE WHEN IS_OPEN THEN w.remaining - 1 ELSE EXCLUDED.remaining END
     WHERE w.remaining > 0 OR NOT IS_OPEN
"""
TAKE: Final = _TAKE.replace(
    "IS_OPEN", "(w.ends_at > %(now)s AND w.ends_at <= EXCLUDED.ends_at + interval '1 minute')"
)


def take_turn(address: str | None, *, keys: int) -> None:
    """Count a well-formed report of so many keys. Raise 429 if a limit is reached."""
    limits = [UNKNOWN]
    if address:
        sizes = ((64, 60), (48, 600)) if ":" in address else ((32, 60),)
        networks = [(ip_network(f"{address}/{bits}", strict=False), most) for bits, most in sizes]
        limits = [(str(network), most, HOUR) for network, most in networks]
    limits.append(SMALL if keys <= MOST_KEYS_OF_SMALL else LARGE)
    subjects, now = [subject for subject, *_ in limits], timezone.now()
    for place, (subject, most, period) in enumerate(limits, 1):
        values: dict[str, Any] = {"subject": subject, "most": most, "later": subjects[place:]}
        with connection.cursor() as cursor:
            cursor.execute(TAKE, {**values, "now": now, "ends_at": now + period})
            if cursor.rowcount == 0:
                raise _too_many(subjects)


def _too_many(subjects: list[str]) -> OfCatalogue:
    now = timezone.now()
    full = ReportWindow.objects.filter(subject__in=subjects, remaining=0, ends_at__gt=now)
    ends = [now, *full.values_list("ends_at", flat=True)]
    seconds = max(1, math.ceil((max(ends) - now).total_seconds()))
    return OfCatalogue(
        "rate_limit_exceeded",
        "Too many reports: 60 an hour are taken from one address, and a few a second from all.",
        fix=f"Send the report again in {seconds} s. One report can hold 1,000 keys.",
        headers={"Retry-After": str(seconds)},
    )
