"""Tests of the key limit: the plan bounds an organization's active keys per mode."""

from datetime import timedelta

import time_machine
from django.utils import timezone

from apikeys.models import ApiKey
from apikeys.refusals import KeyLimitReached
from apikeys.verbs.issue import issue
from audit.actor import Actor
from tests.support.cast import ApiTestCase


class KeyLimitTests(ApiTestCase):
    def limit(self, number: int | None) -> None:
        self.acme.plan.active_keys_limit = number
        self.acme.plan.save()

    def test_default_key_limit_of_every_plan_is_a_hundred(self):
        _, api = self.issue()
        ApiKey.objects.bulk_create(ApiKey(organization=self.acme, name="x") for _ in range(98))
        self.assertEqual(api.send("/v1/keys", {"name": "the hundredth"}).status_code, 201)

        error = self.assertRefused(
            api.send("/v1/keys", {"name": "one more"}), 403, "key_limit_reached"
        )

        self.assertIn("100 active keys", error["message"])
        self.assertIn("unused_for_days", error["fix"])
        self.assertFalse(ApiKey.objects.filter(name="one more").exists())

    def test_key_limit_fix_names_a_list_request_that_works(self):
        _, api = self.issue()
        query = "/v1/keys?status=active&unused_for_days=90"
        self.assertEqual(api.get(query).status_code, 200)

    def test_revoked_and_expired_keys_free_their_place_in_the_key_limit(self):
        self.limit(3)
        _, api = self.issue()
        first, _ = self.issue()
        self.issue(expires_at=timezone.now() + timedelta(hours=1))
        self.assertRefused(api.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")
        api.delete(f"/v1/keys/{first.id}")
        self.assertEqual(api.send("/v1/keys", {"name": "x"}).status_code, 201)
        self.assertRefused(api.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")
        with time_machine.travel(timezone.now() + timedelta(hours=1), tick=False):
            self.assertEqual(api.send("/v1/keys", {"name": "x"}).status_code, 201)
            self.assertRefused(api.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")

    def test_key_limit_counts_each_mode_and_organization_separately(self):
        self.limit(1)
        _, live = self.issue()
        self.assertRefused(live.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")
        _, test = self.issue(livemode=False)
        self.assertRefused(test.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")
        _, stranger = self.issue(organization=self.globex)
        self.assertEqual(stranger.send("/v1/keys", {"name": "x"}).status_code, 201)

    def test_key_limit_null_is_unlimited_and_zero_allows_none(self):
        _, api = self.issue()
        self.limit(None)
        self.assertEqual(api.send("/v1/keys", {"name": "x"}).status_code, 201)
        self.limit(0)
        self.assertRefused(api.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")

    def test_key_limit_reached_blocks_no_other_verb(self):
        self.limit(2)
        api_key, api = self.issue()
        child, _ = self.make(api)
        self.rotate(api, child)
        self.assertEqual(api.change(f"/v1/keys/{api_key.id}", {"name": "y"}).status_code, 200)
        self.assertEqual(api.delete(f"/v1/keys/{child.id}").status_code, 200)

    def test_key_limit_lowered_below_the_count_revokes_no_key(self):
        _, api = self.issue()
        _, child = self.make(api)
        self.limit(1)
        self.assertEqual(child.get("/v1/auth/me").status_code, 200)
        self.assertRefused(api.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")

    def test_key_limit_binds_staff_and_commands(self):
        self.limit(1)
        self.issue()
        for actor in (Actor.cli(), Actor.staff(self.sam)):
            with self.assertRaises(KeyLimitReached):
                issue(ApiKey(organization=self.acme, name="x"), actor=actor)

    def test_key_limit_is_checked_after_validation(self):
        self.limit(1)
        _, api = self.issue()
        response = api.send("/v1/keys", {"name": "x", "scopes": []})
        self.assertRefused(response, 400, "parameter_invalid", field="scopes")
