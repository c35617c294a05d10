"""The benchmark fills our tables by hand: a new column must not break it unseen."""

from accounts.models import Organization
from apikeys.models import ApiKey, KeyDay, KeySecret
from bench.keys_in_use import settle
from bench.seed_ours import IDS, ORGANIZATIONS, SPREAD, fill
from tests.cast import ApiTestCase
from tests.committed import as_owner


class SeedTests(ApiTestCase):
    def test_every_customer_has_its_keys_and_each_key_its_secret_and_its_day(self):
        before = Organization.objects.count()
        with as_owner() as cursor:
            connection = cursor.connection
            connection.execute(IDS)
            fill(connection, keys=SPREAD)
            settle(connection)
        self.assertEqual(Organization.objects.count() - before, ORGANIZATIONS)
        made = ApiKey.objects.exclude(secrets=None)
        self.assertEqual(made.count(), SPREAD + ORGANIZATIONS)
        self.assertEqual(KeySecret.objects.exclude(last_used_at=None).count(), SPREAD)
        self.assertEqual(KeyDay.objects.count(), SPREAD)
