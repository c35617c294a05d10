"""A key that loses its authority between authentication and write makes nothing.

The request is authenticated, then the world changes, then the verb runs: it must ask again.
"""

from collections.abc import Callable
from datetime import timedelta
from unittest import mock

from django.utils import timezone

from accounts.models import Organization, Plan
from apikeys.models import ApiKey, KeySecret
from apikeys.refusals import KeyLimitReached
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.issue import issue
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import ApiTestCase
from web.output.views import ApiView


class LostAuthorityTests(ApiTestCase):
    def create_after(self, change: Callable[[ApiKey], object]):
        """Send `POST /v1/keys`, with `change` done to the caller once it is authenticated."""
        api_key, client = self.issue()
        read_body = ApiView.body

        def change_then_read(view, serializer_class):
            change(api_key)
            return read_body(view, serializer_class)

        with mock.patch.object(ApiView, "body", change_then_read):
            response = client.send("/v1/keys", {"name": "late"})
        self.assertFalse(ApiKey.objects.filter(name="late").exists())
        return response

    def test_revoked_meanwhile(self):
        response = self.create_after(lambda key: revoke(key, actor=Actor.cli()))
        self.assertRefused(response, 401, "api_key_invalid")

    def test_expired_meanwhile(self):
        def expire(api_key: ApiKey) -> None:
            now = timezone.now()
            ApiKey.objects.update(created_at=now - timedelta(days=2), expires_at=now)

        self.assertRefused(self.create_after(expire), 401, "api_key_expired")

    def test_secret_ended_meanwhile(self):
        response = self.create_after(lambda _: KeySecret.objects.update(expires_at=timezone.now()))
        self.assertRefused(response, 401, "api_key_expired")

    def test_narrowed_meanwhile(self):
        def narrow(api_key: ApiKey) -> None:
            ApiKey.objects.update(scopes=list(ALL_SCOPES[:3]))

        self.assertRefused(self.create_after(narrow), 403, "insufficient_scope")

    def test_suspended_meanwhile(self):
        response = self.create_after(lambda _: self.acme.suspend(actor=Actor.cli(), reason="x"))
        self.assertRefused(response, 403, "organization_suspended")

    def test_given_an_earlier_end_meanwhile(self):
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
    """The limit on keys is the plan's as it is under the lock, not as somebody read it before."""

    def test_a_lower_limit_holds_for_whoever_had_read_the_higher_one(self):
        self.issue()
        self.assertEqual(self.acme.plan.active_keys_limit, 100)
        Plan.objects.update(active_keys_limit=1)
        with self.assertRaises(KeyLimitReached):
            self.issue()

    def test_so_does_the_limit_of_another_plan(self):
        self.issue()
        Plan.objects.filter(slug="free").update(active_keys_limit=1)
        Organization.objects.filter(pk=self.acme.pk).update(plan="free")
        with self.assertRaises(KeyLimitReached):
            self.issue()


class ForeignActorTests(ApiTestCase):
    """The verb itself refuses to make a key outside of its actor's organization or mode."""

    def test_another_organizations_or_modes_key_is_not_made(self):
        api_key, client = self.issue()
        actor = Actor(Actor.cli().type.KEY, api_key.id, "CI", locator=client.key[8:16])
        for target in ({"organization": self.globex}, {"livemode": False}):
            foreign = ApiKey(**{"organization": self.acme, "name": "late", **target})
            with self.subTest(target), self.assertRaisesMessage(Exception, "nothing at this"):
                issue(foreign, actor=actor)
        self.assertFalse(ApiKey.objects.filter(name="late").exists())
