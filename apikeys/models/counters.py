"""What is counted for each key: its requests a day, its tests a month, the use of its scopes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.contrib.postgres.indexes import BrinIndex
from django.db import connection, models
from django.utils import timezone

from reachscore.database import WITHOUT_WAITING

if TYPE_CHECKING:
    from apikeys.models.api_key import ApiKey

UNUSED_AFTER: Final = timedelta(days=30)

# As accounts.models.usage.TAKE, for the share of one key.
TAKE_TESTS: Final = """
    INSERT INTO apikeys_keymonth AS m (api_key_id, month, tests)
    SELECT %(key_id)s, %(month)s, %(n)s
     WHERE %(limit)s::bigint IS NULL OR %(n)s <= %(limit)s
        ON CONFLICT (api_key_id, month) DO UPDATE
       SET tests = m.tests + EXCLUDED.tests
     WHERE %(limit)s::bigint IS NULL OR m.tests + EXCLUDED.tests <= %(limit)s
 RETURNING tests
"""


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
    def last_of(cls, api_key: ApiKey, *, days: int, today: date) -> list[KeyDay]:
        """Return a key's last `days` days, today and those without requests included."""
        dates = [today - timedelta(days=back) for back in reversed(range(days))]
        found = cls.objects.filter(api_key=api_key, day__gte=dates[0], day__lte=today)
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

    @classmethod
    def take_tests(cls, key_id: str, *, month: date, n: int, limit: int | None) -> bool:
        """Count `n` tests, 1 or more, unless that would go beyond `limit`; tell whether it did."""
        with connection.cursor() as cursor:
            cursor.execute(TAKE_TESTS, {"key_id": key_id, "month": month, "n": n, "limit": limit})
            return cursor.fetchone() is not None


class ScopeGrant(models.Model):
    """Since when a key has held a scope, and the last day on which it exercised it."""

    pk = models.CompositePrimaryKey("api_key_id", "scope")
    api_key = models.ForeignKey("ApiKey", on_delete=models.PROTECT, related_name="grants")
    scope = models.CharField(max_length=40)
    granted_at = models.DateTimeField(default=timezone.now)
    last_exercised_on = models.DateField(null=True)

    def __str__(self) -> str:
        return f"{self.scope} of {self.api_key_id}"

    @staticmethod
    def give(api_key: ApiKey) -> None:
        """Insert a row for each scope of the key that has none. Call it inside a verb."""
        rows = [ScopeGrant(api_key=api_key, scope=scope) for scope in api_key.scopes]
        ScopeGrant.objects.bulk_create(rows, ignore_conflicts=True)

    @classmethod
    def exercise(cls, key_id: str, scopes: Collection[str], *, day: date) -> None:
        """Note that a key exercised these scopes; the day goes back only from the future."""
        grants = cls.objects.filter(WITHOUT_WAITING, api_key_id=key_id, scope__in=scopes)
        tomorrow = day + timedelta(days=1)  # By a clock that is a little ahead.
        grants.exclude(last_exercised_on__range=(day, tomorrow)).update(last_exercised_on=day)

    @property
    def is_long_unused(self) -> bool:
        """Granted UNUSED_AFTER ago or more, and never exercised since."""
        return self.last_exercised_on is None and self.granted_at <= timezone.now() - UNUSED_AFTER

    @staticmethod
    def long_unused(now: datetime) -> models.Q:
        """Return the same as a filter over grants."""
        return models.Q(granted_at__lte=now - UNUSED_AFTER, last_exercised_on=None)
