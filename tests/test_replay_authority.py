"""A retry shows a plaintext, so it takes what a new request takes: the caller's authority, now."""

from datetime import timedelta
from typing import Any

import time_machine
from django.utils import timezone

from accounts.models import Actor, AuditEvent
from apikeys.models import ApiKey
from tests.cast import Answer, ApiClient
from tests.retries import RetryTestCase


class AuthorityTests(RetryTestCase):
    """A replay shows a plaintext: it takes what a new request takes, now."""

    def both(self) -> list[Answer]:
        """Send a creation and a rotation again that `setUp` sent for the first time."""
        return [self.create(), self.send_rotation(self.target.id, "t-2")]

    def setUp(self) -> None:
        super().setUp()
        self.target, _ = self.issue()
        self.created = self.create().json()
        self.send_rotation(self.target.id, "t-2")

    def assertBothRefused(self, status: int, code: str) -> None:
        for response in self.both():
            self.assertRefused(response, status, code)

    def tearDown(self) -> None:
        """Nothing was replaced by any refusal."""
        self.assertFalse(AuditEvent.objects.filter(action="api_key.secret_replaced").exists())

    def test_a_narrowed_caller_is_refused(self):
        self.key.change(actor=Actor.cli(), scopes=["tests:read"])
        self.assertBothRefused(403, "insufficient_scope")

    def test_a_caller_with_an_earlier_end_is_refused(self):
        self.key.change(actor=Actor.cli(), expires_at=timezone.now() + timedelta(days=1))
        self.assertBothRefused(403, "exceeds_caller")

    def test_a_caller_whose_secret_is_being_rotated_out_is_refused(self):
        self.key.rotate(actor=Actor.cli(), overlap=timedelta(days=1))
        self.assertBothRefused(403, "exceeds_caller")

    def test_a_caller_bound_to_addresses_is_refused(self):
        self.key.change(actor=Actor.cli(), allowed_ips=["127.0.0.0/8"])
        self.assertBothRefused(403, "exceeds_caller")

    def test_a_caller_at_a_wrong_address_is_refused(self):
        self.key.change(actor=Actor.cli(), allowed_ips=["192.0.2.0/24"])
        self.assertBothRefused(403, "ip_not_allowed")

    def test_a_suspended_caller_is_refused(self):
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.assertBothRefused(403, "organization_suspended")

    def test_a_revoked_caller_is_refused(self):
        self.key.revoke(actor=Actor.cli())
        self.assertBothRefused(401, "api_key_invalid")

    def test_an_expired_caller_is_refused(self):
        self.key.change(actor=Actor.cli(), expires_at=timezone.now() + timedelta(minutes=1))
        with time_machine.travel(timezone.now() + timedelta(hours=1)):
            self.assertBothRefused(401, "api_key_expired")

    def test_the_organizations_other_keys_do_not_have_its_answers(self):
        _, sibling = self.issue()
        self.assertEqual(self.create(by=sibling).status_code, 201)
        self.assertEqual(ApiKey.objects.exclude(maker=None).count(), 2)


class WidenedTests(RetryTestCase):
    """The key came to reach further than its caller: handing it over would widen the caller."""

    def test_a_key_that_lives_longer_than_its_caller_by_now(self):
        end = timezone.now() + timedelta(days=1)
        _, client = self.issue(expires_at=end.replace(microsecond=0))
        self.widened(client, expires_at=end + timedelta(days=1))

    def test_a_key_that_may_be_used_elsewhere_by_now(self):
        _, client = self.issue(allowed_ips=["127.0.0.0/8"])
        self.widened(client, allowed_ips=["127.0.0.1", "192.0.2.7"])

    def widened(self, client: ApiClient, **fields: Any) -> None:
        created = ApiKey.objects.get(pk=self.create(by=client).json()["id"])
        mine = {name: getattr(created, name) for name in fields}
        rotated = ApiKey.objects.get(pk=self.create("t-2", by=client).json()["id"])
        self.send_rotation(rotated.pk, "t-3", by=client)
        for widened in (created, rotated):
            widened.change(actor=Actor.staff(self.sam), **fields)
        for response in (self.create(by=client), self.send_rotation(rotated.pk, "t-3", by=client)):
            self.assertRefused(response, 403, "exceeds_caller")

        for widened in (created, rotated):
            widened.change(actor=Actor.staff(self.sam), **mine)
        self.assertWorks(self.replayed(self.create(by=client)))
        self.assertWorks(self.replayed(self.send_rotation(rotated.pk, "t-3", by=client), 200))


class LimitTests(RetryTestCase):
    def test_a_replay_works_at_the_key_limit_where_a_new_key_does_not(self):
        self.acme.plan.active_keys_limit = 2
        self.acme.plan.save()
        self.made(self.create())
        self.assertRefused(self.create("t-2"), 403, "key_limit_reached")
        self.assertWorks(self.replayed(self.create()))
        self.assertRefused(self.create("t-2"), 403, "key_limit_reached")

    def test_not_beyond_it(self):
        self.made(self.create())
        self.issue()
        self.acme.plan.active_keys_limit = 2
        self.acme.plan.save()
        self.assertRefused(self.create(), 403, "key_limit_reached")
