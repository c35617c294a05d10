from datetime import date, datetime
from typing import Final

from django.db import models

from accounts.models.organization import Organization

# The period of what never starts anew: standing counts, and tests that are granted once.
ALWAYS: Final = date(1970, 1, 1)


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


def period_of(meter: Meter, *, tests_renew: bool, now: datetime) -> date:
    """Return the first day of the period that `now`, an aware time in UTC, counts into."""
    return now.date().replace(day=1) if meter is Meter.TESTS and tests_renew else ALWAYS


def used_now(
    organization_id: str, *, livemode: bool, tests_renew: bool, now: datetime
) -> dict[Meter, int]:
    """Return what is used of each meter in its current period; one query, zero where no row is."""
    periods = {meter: period_of(meter, tests_renew=tests_renew, now=now) for meter in Meter}
    rows = Usage.objects.filter(
        organization_id=organization_id,
        livemode=livemode,
        period_start__in=set(periods.values()),
    ).values_list("meter", "period_start", "used")
    used = {(meter, period): count for meter, period, count in rows}
    return {meter: used.get((meter.value, period), 0) for meter, period in periods.items()}
