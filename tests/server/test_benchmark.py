"""Tests of the benchmark's filling of our tables: a new column must not break it."""

from accounts.models import Organization, Usage
from apikeys.models import KeyDay, KeySecret
from apikeys.models.counters import KeyMonth
from audit.models import AuditEvent
from bench.seed import HOT, ORGANIZATIONS, SPREAD, USE_PLANS, fill, settle
from tests.support.cast import ApiTestCase
from tests.support.committed import as_owner

IN_USE = SPREAD + HOT


class SeedTests(ApiTestCase):
    def test_benchmark_fill_gives_keys_secrets_and_days_and_organizations_events(self):
        organizations, events = Organization.objects.count(), AuditEvent.objects.count()
        with as_owner() as cursor:
            connection = cursor.connection
            fill(connection, keys=IN_USE, days=1, events=2)
            connection.execute(USE_PLANS)
            settle(connection)
        self.assertEqual(Organization.objects.count() - organizations, ORGANIZATIONS)
        made = KeySecret.objects.order_by().values("api_key").distinct()
        self.assertEqual(made.count(), IN_USE + ORGANIZATIONS)
        self.assertEqual(KeySecret.objects.exclude(last_used_at=None).count(), IN_USE)
        self.assertEqual(KeyDay.objects.count(), IN_USE * 2)  # Today and the day behind.
        self.assertEqual(KeyMonth.objects.count(), IN_USE)
        self.assertGreaterEqual(Usage.objects.count(), ORGANIZATIONS * (2 + 2))
        self.assertEqual(AuditEvent.objects.count() - events, ORGANIZATIONS * 2)
