"""Usage of a plan by meter, and the quota, exact under concurrency."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db import connection, models
from django.db.models import F, Q
from django.db.models.functions import Greatest

from accounts.models.organization import Organization

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
    def take(cls, *, n: int, limit: int | None, **row: Any) -> bool:
        """Add `n`, 1 or more, to a row. Return False if the sum would exceed `limit`.

        `row` gives the columns of the unique constraint. The row stays locked until the caller's
        transaction ends.
        """
        with connection.cursor() as cursor:
            cursor.execute(TAKE, {**row, "n": n, "limit": limit})
            return cursor.fetchone() is not None

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
    standing = period_of(Meter.DOMAINS, tests_renew=tests_renew, now=now)
    rows = Usage.objects.filter(organization_id=organization_id, livemode=livemode).filter(
        Q(meter=Meter.TESTS, period_start=month) | Q(meter=Meter.DOMAINS, period_start=standing)
    )
    used = dict(rows.values_list("meter", "used"))
    return {meter: used.get(meter.value, 0) for meter in Meter}
