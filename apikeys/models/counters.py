"""What is counted for each key: its requests a day, its tests a month, the use of its scopes."""

from datetime import date, timedelta
from typing import Final, Self

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils import timezone

UNUSED_AFTER: Final = timedelta(days=30)  # Of a scope; of a key, each query says after how long.


class KeyDay(models.Model):
    """A key's requests on one day in UTC; written by the statement that authenticates them."""

    pk = models.CompositePrimaryKey("api_key_id", "day")
    api_key = models.ForeignKey("ApiKey", on_delete=models.PROTECT, related_name="days")
    day = models.DateField()
    requests = models.PositiveBigIntegerField()
    limited = models.PositiveBigIntegerField(help_text="Of these, over the rate limit.")

    class Meta:
        # For the sums of a month. Rows come in the order of days, so a range of pages is enough,
        # and the statement that counts a request hardly notices.
        indexes = [BrinIndex(fields=["day"], name="key_day_by_day")]

    def __str__(self) -> str:
        return f"{self.api_key_id} on {self.day}"

    @classmethod
    def last_of(cls, key_id: str, *, days: int, today: date) -> list[Self]:
        """Return a key's last `days` days, today and those without requests included."""
        dates = [today - timedelta(days=back) for back in reversed(range(days))]
        found = cls.objects.filter(api_key_id=key_id, day__gte=dates[0], day__lte=today)
        rows = {row.day: row for row in found}
        return [rows.get(day) or cls(day=day, requests=0, limited=0) for day in dates]


class KeyMonth(models.Model):
    """A key's tests in one calendar month in UTC, against its own share of the plan."""

    pk = models.CompositePrimaryKey("api_key_id", "month")
    api_key = models.ForeignKey("ApiKey", on_delete=models.PROTECT, related_name="months")
    month = models.DateField()
    tests = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"{self.api_key_id} in {self.month:%Y-%m}"


class ScopeGrant(models.Model):
    """Since when a key has held a scope, and the last day on which it exercised it."""

    pk = models.CompositePrimaryKey("api_key_id", "scope")
    api_key = models.ForeignKey("ApiKey", on_delete=models.PROTECT, related_name="grants")
    scope = models.CharField(max_length=40)
    granted_at = models.DateTimeField(default=timezone.now)
    last_exercised_on = models.DateField(null=True)

    def __str__(self) -> str:
        return f"{self.scope} of {self.api_key_id}"

    @property
    def is_long_unused(self) -> bool:
        """Granted UNUSED_AFTER ago or more, and never exercised since."""
        return self.last_exercised_on is None and self.granted_at <= timezone.now() - UNUSED_AFTER

    @staticmethod
    def long_unused() -> models.Q:
        """Return the same as a filter over grants."""
        return models.Q(granted_at__lte=timezone.now() - UNUSED_AFTER, last_exercised_on=None)
