from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from django.db import connection, models
from django.db.models import F, Q
from django.db.models.functions import Greatest

from accounts.models.organization import Organization

# The period of what never starts anew: standing counts, and tests that are granted once.
ALWAYS: Final = date(1970, 1, 1)


# Test and addition are one statement, exact under any concurrency: who waits for the row's lock
# sees what the other added. The first use of a period has no row yet, so it is tested as well.
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
    """What is counted against a plan."""

    TESTS = "tests"
    DOMAINS = "domains"


def meter_choices() -> list[tuple[str, str]]:
    """Return the meters; the migration stores this name, so that a new one needs no migration."""
    return Meter.choices


class Usage(models.Model):
    """How much of one meter an organization used in one mode and one period."""

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
    def take(
        cls,
        *,
        organization_id: str,
        livemode: bool,
        meter: Meter,
        period_start: date,
        n: int,
        limit: int | None,
    ) -> bool:
        """Count `n`, 1 or more, unless that would go beyond `limit`; tell whether it was counted.

        Takes part in the caller's transaction, which other takers then wait for.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                TAKE,
                {
                    "organization_id": organization_id,
                    "livemode": livemode,
                    "meter": meter,
                    "period_start": period_start,
                    "n": n,
                    "limit": limit,
                },
            )
            return cursor.fetchone() is not None

    @classmethod
    def give_back(
        cls, *, organization_id: str, livemode: bool, meter: Meter, period_start: date, n: int
    ) -> None:
        """Count `n` less, and never less than nothing, in the caller's transaction."""
        cls.objects.filter(
            organization_id=organization_id,
            livemode=livemode,
            meter=meter,
            period_start=period_start,
        ).update(used=Greatest(F("used") - n, 0))


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """Return when the calendar month of `now`, in UTC, begins and when the next one does."""
    first = now.date().replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return datetime.combine(first, time(), UTC), datetime.combine(following, time(), UTC)


def period_of(meter: Meter, *, tests_renew: bool, now: datetime) -> date:
    """Return the first day of the period that `now`, an aware time in UTC, counts into."""
    return now.date().replace(day=1) if meter is Meter.TESTS and tests_renew else ALWAYS


def used_now(
    *, organization_id: str, livemode: bool, tests_renew: bool, now: datetime
) -> dict[Meter, int]:
    """Return what is used of each meter in its current period; one query, zero where no row is."""
    month = period_of(Meter.TESTS, tests_renew=tests_renew, now=now)
    standing = period_of(Meter.DOMAINS, tests_renew=tests_renew, now=now)
    rows = Usage.objects.filter(organization_id=organization_id, livemode=livemode).filter(
        Q(meter=Meter.TESTS, period_start=month) | Q(meter=Meter.DOMAINS, period_start=standing)
    )
    used = dict(rows.values_list("meter", "used"))
    return {meter: used.get(meter.value, 0) for meter in Meter}
