"""An organization has at most as many active keys of each mode as its plan grants."""

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

    def test_every_plan_grants_a_hundred(self):
        _, api = self.issue()
        ApiKey.objects.bulk_create(ApiKey(organization=self.acme, name="x") for _ in range(98))
        self.assertEqual(api.send("/v1/keys", {"name": "the hundredth"}).status_code, 201)

        error = self.assertRefused(
            api.send("/v1/keys", {"name": "one more"}), 403, "key_limit_reached"
        )

        self.assertIn("100 active keys", error["message"])
        self.assertIn("unused_for_days", error["fix"])
        self.assertFalse(ApiKey.objects.filter(name="one more").exists())

    def test_the_fix_that_it_names_is_a_request_that_works(self):
        _, api = self.issue()
        query = "/v1/keys?status=active&unused_for_days=90"
        self.assertEqual(api.get(query).status_code, 200)

    def test_revoked_and_expired_keys_make_room(self):
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

    def test_each_mode_and_each_organization_counts_for_itself(self):
        self.limit(1)
        _, live = self.issue()
        self.assertRefused(live.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")
        _, test = self.issue(livemode=False)
        self.assertRefused(test.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")
        _, stranger = self.issue(organization=self.globex)
        self.assertEqual(stranger.send("/v1/keys", {"name": "x"}).status_code, 201)

    def test_null_is_no_limit_and_zero_is_none_at_all(self):
        _, api = self.issue()
        self.limit(None)
        self.assertEqual(api.send("/v1/keys", {"name": "x"}).status_code, 201)
        self.limit(0)
        self.assertRefused(api.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")

    def test_at_the_limit_every_other_verb_works(self):
        self.limit(2)
        api_key, api = self.issue()
        child, _ = self.make(api)
        self.rotate(api, child)
        self.assertEqual(api.change(f"/v1/keys/{api_key.id}", {"name": "y"}).status_code, 200)
        self.assertEqual(api.delete(f"/v1/keys/{child.id}").status_code, 200)

    def test_a_limit_lowered_below_what_there_is_takes_no_key_away(self):
        _, api = self.issue()
        _, child = self.make(api)
        self.limit(1)
        self.assertEqual(child.get("/v1/auth/me").status_code, 200)
        self.assertRefused(api.send("/v1/keys", {"name": "x"}), 403, "key_limit_reached")

    def test_binds_staff_and_commands_alike(self):
        self.limit(1)
        self.issue()
        for actor in (Actor.cli(), Actor.staff(self.sam)):
            with self.assertRaises(KeyLimitReached):
                issue(ApiKey(organization=self.acme, name="x"), actor=actor)

    def test_is_reached_only_by_a_request_that_is_right_otherwise(self):
        self.limit(1)
        _, api = self.issue()
        response = api.send("/v1/keys", {"name": "x", "scopes": []})
        self.assertRefused(response, 400, "parameter_invalid", field="scopes")
