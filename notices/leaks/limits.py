"""How many reports of exposed keys are taken: from one address, from one network, from everybody.

Fixed windows, each begun by its first report. A report counts in a window only if all windows
before it had room: else one address could use up what everybody may send.
"""

import math
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Max
from django.utils import timezone

from notices.models import ReportWindow
from web.errors.refusals import OfCatalogue

MOST_OF_AN_ADDRESS: Final = 60
MOST_OF_A_NETWORK: Final = 600
MOST_SMALL: Final = 100  # A second, of up to MOST_KEYS_OF_SMALL keys each.
MOST_LARGE: Final = 5
MOST_KEYS_OF_SMALL: Final = 10
HOUR: Final = timedelta(hours=1)
SECOND: Final = timedelta(seconds=1)
UNKNOWN: Final = "unknown"  # Clients whose address a proxy did not name share one window.

# An upsert, exact under concurrency, in a transaction of its own. The table is unlogged, so that
# waits for no disk. If a later window is full, the first is not touched either: so strangers with
# many addresses make no more rows than everybody may send reports. A window that ends too late is
# the mistake of a clock, and begins anew.
TAKE: Final = """
    INSERT INTO notices_reportwindow AS w (subject, ends_at, remaining)
    SELECT %(subject)s, %(ends_at)s, %(most)s - 1
     WHERE NOT EXISTS (SELECT FROM notices_reportwindow
                        WHERE subject = ANY(%(later)s) AND remaining = 0 AND ends_at > %(now)s)
        ON CONFLICT (subject) DO UPDATE
       SET ends_at = CASE WHEN IS_OPEN THEN w.ends_at ELSE EXCLUDED.ends_at END,
           remaining = CASE WHEN IS_OPEN THEN w.remaining - 1 ELSE EXCLUDED.remaining END
     WHERE w.remaining > 0 OR NOT IS_OPEN
""".replace(
    "IS_OPEN", "(w.ends_at > %(now)s AND w.ends_at <= EXCLUDED.ends_at + interval '1 minute')"
)


class Limit(NamedTuple):
    """At most `most` reports in a window of `period` that `subject` names."""

    subject: str
    most: int
    period: timedelta


def take_turn(address: str | None, *, keys: int) -> None:
    """Count a well-formed report of so many keys. Raise 429 if a limit is reached."""
    now, limits = timezone.now(), list(_limits(address, keys))
    subjects = [limit.subject for limit in limits]
    for place, (subject, most, period) in enumerate(limits, 1):
        values: dict[str, Any] = {"subject": subject, "most": most, "later": subjects[place:]}
        with connection.cursor() as cursor:
            cursor.execute(TAKE, {**values, "now": now, "ends_at": now + period})
            if cursor.rowcount == 0:
                raise _refusal(subjects)


def _limits(address: str | None, keys: int) -> Iterator[Limit]:
    if address and ":" in address:
        yield Limit(str(ip_network(f"{address}/64", strict=False)), MOST_OF_AN_ADDRESS, HOUR)
        yield Limit(str(ip_network(f"{address}/48", strict=False)), MOST_OF_A_NETWORK, HOUR)
    else:
        yield Limit(address or UNKNOWN, MOST_OF_AN_ADDRESS, HOUR)
    is_small = keys <= MOST_KEYS_OF_SMALL
    yield Limit("small", MOST_SMALL, SECOND) if is_small else Limit("large", MOST_LARGE, SECOND)


def _refusal(subjects: list[str]) -> OfCatalogue:
    now = timezone.now()
    full = ReportWindow.objects.filter(subject__in=subjects, remaining=0, ends_at__gt=now)
    ends_at = full.aggregate(last=Max("ends_at"))["last"] or now
    seconds = max(1, math.ceil((ends_at - now).total_seconds()))
    return OfCatalogue(
        "rate_limit_exceeded",
        f"Too many reports: from one address {MOST_OF_AN_ADDRESS} an hour are taken, and from "
        "everybody a few a second.",
        fix=f"Send the report again in {seconds} s. One report can hold 1,000 keys.",
        headers={"Retry-After": str(seconds)},
    )
