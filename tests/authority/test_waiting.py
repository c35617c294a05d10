"""Tests of waiting: which requests wait for a locked secret, in real threads and transactions."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from apikeys.models import KeySecret
from tests.support.cast import ApiClient
from tests.support.committed import in_threads
from tests.support.races import RaceTestCase, get


class WaitingTests(RaceTestCase):
    def used_an_hour_ago(self, client: ApiClient) -> KeySecret:
        """Use the secret; date the use an hour back, so that the next one is due to be written."""
        self.assertEqual(get(client)().status_code, 200)
        secret = KeySecret.objects.get(locator=client.key[8:16])
        secret.last_used_at = timezone.now() - timedelta(hours=1)
        secret.save()
        return secret

    def assertAnswered(self, *calls, status: int = 200) -> None:
        """Check that all are answered while the test holds its lock."""
        answers = in_threads(*calls)
        self.assertEqual([answer.status_code for answer in answers], [status] * len(calls))

    def test_locked_secret_delays_no_sibling_and_no_second_use(self):
        _, held = self.issue()
        _, sibling = self.issue()
        secret = self.used_an_hour_ago(held)
        before = secret.last_used_at, secret.pepper_id
        rotated = override_settings(API_KEY_PEPPERS={2: b"n" * 32, **settings.API_KEY_PEPPERS})

        with rotated, transaction.atomic():
            self.lock_secret(held)
            self.assertAnswered(get(held), get(sibling))
            secret.refresh_from_db()
            self.assertEqual((secret.last_used_at, secret.pepper_id), before)

        # The next request writes what could not be written then.
        with rotated:
            self.assertAnswered(get(held))
        secret.refresh_from_db()
        self.assertNotEqual(secret.last_used_at, before[0])
        self.assertEqual(secret.pepper_id, 2)

    def test_only_the_first_use_of_a_secret_waits_for_its_locked_row(self):
        _, unused = self.issue()
        with self.queue() as queue:
            self.lock_secret(unused)
            queue.add(get(unused))
        self.assertEqual([answer.status_code for answer in queue.answers()], [200])
