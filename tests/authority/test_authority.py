"""Tests of checks under the lock: what was read before it no longer decides.

The caller's loss of authority, by every verb, is in tests.authority.test_authority_races.
"""

from datetime import timedelta
from unittest import mock

from django.utils import timezone

from accounts.models import Organization, Plan
from apikeys.models import ApiKey
from apikeys.refusals import KeyLimitReached
from apikeys.verbs.issue import issue
from audit.actor import Actor
from tests.support.cast import ApiTestCase
from web.output.views import ApiView


class EarlierExpiryTests(ApiTestCase):
    def test_create_uses_the_callers_expiry_at_the_time_of_writing(self):
        end = timezone.now() + timedelta(hours=1)
        _, client = self.issue()
        read_body = ApiView.body

        def shorten_then_read(view, serializer_class):
            ApiKey.objects.update(expires_at=end)
            return read_body(view, serializer_class)

        with mock.patch.object(ApiView, "body", shorten_then_read):
            client.send("/v1/keys", {"name": "late"})
        self.assertEqual(ApiKey.objects.get(name="late").expires_at, end)


class StaleLimitTests(ApiTestCase):
    """The key limit is the plan's as read under the lock, not as read before."""

    def test_key_limit_lowered_after_it_was_read_holds(self):
        self.issue()
        self.assertEqual(self.acme.plan.active_keys_limit, 100)
        Plan.objects.update(active_keys_limit=1)
        with self.assertRaises(KeyLimitReached):
            self.issue()

    def test_key_limit_of_a_plan_changed_after_it_was_read_holds(self):
        self.issue()
        Plan.objects.filter(slug="free").update(active_keys_limit=1)
        Organization.objects.filter(pk=self.acme.pk).update(plan="free")
        with self.assertRaises(KeyLimitReached):
            self.issue()


class ForeignActorTests(ApiTestCase):
    """The verb itself refuses a key outside of its actor's organization or mode."""

    def test_issue_for_another_organization_or_mode_is_refused_by_the_verb(self):
        api_key, client = self.issue()
        actor = Actor(Actor.cli().type.KEY, api_key.id, "CI", locator=client.key[8:16])
        for target in ({"organization": self.globex}, {"livemode": False}):
            foreign = ApiKey(**{"organization": self.acme, "name": "late", **target})
            with self.subTest(target), self.assertRaisesMessage(Exception, "nothing at this"):
                issue(foreign, actor=actor)
        self.assertFalse(ApiKey.objects.filter(name="late").exists())
