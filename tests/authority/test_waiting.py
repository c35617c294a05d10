"""What a verb holds delays nobody whom it does not concern: real threads, real transactions."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from apikeys.models import KeySecret
from apikeys.verbs.revoke import revoke_with_all_it_made
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from tests.support.cast import ApiClient
from tests.support.committed import in_threads
from tests.support.races import RaceTestCase, get, post


class WaitingTests(RaceTestCase):
    def used_an_hour_ago(self, client: ApiClient) -> KeySecret:
        """Use it, so that its next use is due to be noted, but is not its first."""
        self.assertEqual(get(client)().status_code, 200)
        secret = KeySecret.objects.get(locator=client.key[8:16])
        secret.last_used_at = timezone.now() - timedelta(hours=1)
        secret.save()
        return secret

    def assertAnswered(self, *calls, status: int = 200) -> None:
        """Check that all are answered while the test goes on holding what it holds."""
        answers = in_threads(*calls)
        self.assertEqual([answer.status_code for answer in answers], [status] * len(calls))

    def test_a_held_secret_delays_neither_its_siblings_nor_its_own_second_use(self):
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

        # What could not be noted then is noted with the next request.
        with rotated:
            self.assertAnswered(get(held))
        secret.refresh_from_db()
        self.assertNotEqual(secret.last_used_at, before[0])
        self.assertEqual(secret.pepper_id, 2)

    def test_only_a_first_use_waits_for_its_secrets_row(self):
        _, unused = self.issue()
        with self.queue() as queue:
            self.lock_secret(unused)
            queue.add(get(unused))
        self.assertEqual([answer.status_code for answer in queue.answers()], [200])

    def test_a_rotation_in_progress_delays_no_use_of_the_old_secret(self):
        key, client = self.issue()
        self.used_an_hour_ago(client)
        with transaction.atomic():
            rotate(key, actor=Actor.cli(), overlap=timedelta(hours=1))
            self.assertAnswered(*[get(client)] * 4)

    def test_a_bulk_revocation_in_progress_delays_no_other_key(self):
        root, maker = self.issue()
        makes = post(maker, "/v1/keys", {"name": "child"})
        children = [ApiClient(makes().json()["key"]) for _ in range(20)]
        _, sibling = self.issue()
        _, globex = self.issue(organization=self.globex)

        with transaction.atomic():
            cascade = revoke_with_all_it_made(root, actor=Actor.cli())
            self.assertEqual(cascade.keys_revoked, 20)
            self.assertAnswered(
                get(sibling),
                get(sibling, "/v1/keys"),
                get(sibling, f"/v1/keys/{root.pk}"),
                get(sibling, f"/v1/keys/{root.pk}/events"),
                get(globex, "/v1/keys"),
                # Nothing is revoked before it is committed, and then all of it at once.
                get(children[0]),
                get(maker),
            )
            self.assertAnswered(post(globex, "/v1/keys", {"name": "theirs"}), status=201)
        for client in (maker, *children):
            self.assertRefused(get(client)(), 401, "api_key_invalid")
        self.assertAnswered(get(sibling))
