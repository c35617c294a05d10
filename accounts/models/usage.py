"""What organizations used: requests of this minute, and each meter by period with its quota."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db import models
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.fields import BigIntegerField, DateField
from django.db.models.functions import Cast, Coalesce, Greatest

from accounts.models.organization import Organization
from web.database import fetch_all

NEAR_PERCENT: Final = 80

# The period of counts that never renew: domains, and tests that are granted once.
ALWAYS: Final = date(1970, 1, 1)

# A conditional upsert, exact under concurrency: a transaction that waited for the row's lock sees
# what the other one added. The first use of a period has no row yet, so the INSERT tests, too.
TAKE: Final = """
    INSERT INTO accounts_usage AS u (organization_id, livemode, meter, period_start, used)
    SELECT %(organization_id)s, %(livemode)s, %(meter)s, %(period_start)s, %(n)s
     WHERE %(limit)s::bigint IS NULL OR %(n)s <= %(limit)s
        ON CONFLICT (organization_id, livemode, meter, period_start) DO UPDATE
       SET used = u.used + EXCLUDED.used
     WHERE %(limit)s::bigint IS NULL OR u.used + EXCLUDED.used <= %(limit)s
 RETURNING used
"""


class Meter(models.TextChoices):
    """The kinds of usage that a plan limits."""

    TESTS = "tests"
    DOMAINS = "domains"


def meter_choices() -> list[tuple[str, str]]:
    """Return the choices. Migrations store this function's name, so a new meter needs none."""
    return Meter.choices


class Usage(models.Model):
    """How much an organization used of a meter, in one mode and period."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="usage")
    livemode = models.BooleanField()
    meter = models.CharField(max_length=20, choices=meter_choices)
    period_start = models.DateField()
    used = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "usage"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "livemode", "meter", "period_start"],
                name="usage_one_row_per_period",
            )
        ]

    def __str__(self) -> str:
        mode = "live" if self.livemode else "test"
        return f"{self.meter} of {self.organization_id}, {mode}, from {self.period_start}"

    @classmethod
    def take(cls, *, n: int, limit: int | None, **row: Any) -> int | None:
        """Add `n`, 1 or more, to a row. Return the sum, or None if it would exceed `limit`.

        `row` gives the columns of the unique constraint. The row stays locked until the caller's
        transaction ends.
        """
        return next((used for (used,) in fetch_all(TAKE, {**row, "n": n, "limit": limit})), None)

    @classmethod
    def give_back(cls, *, n: int, **row: Any) -> None:
        """Subtract `n` from a row, but not below 0. `row` is as for `take`."""
        cls.objects.filter(**row).update(used=Greatest(F("used") - n, 0))


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """Return when the calendar month of `now` (in UTC) and the next month begin."""
    first = now.date().replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return datetime.combine(first, time(), UTC), datetime.combine(following, time(), UTC)


def period_of(meter: Meter, *, tests_renew: bool, now: datetime) -> date:
    """Return the first day of the current period of a meter. `now` must be in UTC."""
    return now.date().replace(day=1) if meter is Meter.TESTS and tests_renew else ALWAYS


def used_now(
    *, organization_id: str, livemode: bool, tests_renew: bool, now: datetime
) -> dict[Meter, int]:
    """Return the usage of each meter in its current period, by one query."""
    month = period_of(Meter.TESTS, tests_renew=tests_renew, now=now)
    rows = Usage.objects.filter(organization_id=organization_id, livemode=livemode).filter(
        Q(meter=Meter.TESTS, period_start=month) | Q(meter=Meter.DOMAINS, period_start=ALWAYS)
    )
    used = dict(rows.values_list("meter", "used"))
    return {meter: used.get(meter.value, 0) for meter in Meter}


class RateWindow(models.Model):
    """The rate limit's counter (fixed window): an organization's requests since `started_at`.

    One row for each mode, overwritten by each new minute. Only the statement that authenticates a
    request writes it. The table is unlogged: a crash of the database loses this minute at most.
    """

    pk = models.CompositePrimaryKey("organization_id", "livemode")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    livemode = models.BooleanField()
    started_at = models.DateTimeField()
    requests = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.requests} since {self.started_at}"


def near_limit(now: datetime) -> QuerySet[Usage]:
    """Return live usage of the current period that is at NEAR_PERCENT of its limit or more."""
    month = now.date().replace(day=1)
    # The same rule as `period_of`, in SQL.
    period = Case(
        When(meter=Meter.TESTS, organization__plan__tests_renew=True, then=Value(month)),
        default=Value(ALWAYS),
        output_field=DateField(),
    )
    limits = [
        When(meter=m, then=Coalesce(f"organization__{m}_limit", f"organization__plan__{m}_limit"))
        for m in Meter
    ]
    # A limit fits an integer column, but its product with a percentage may not.
    limit = Cast(Case(*limits), BigIntegerField())
    rows = Usage.objects.filter(period_start__in=(month, ALWAYS), livemode=True)
    return rows.annotate(period=period, limit=limit).filter(
        period_start=F("period"), used__gt=0, used__gte=F("limit") * NEAR_PERCENT / 100
    )
