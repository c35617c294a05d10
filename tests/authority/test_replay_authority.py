"""Tests of the authority that a replay needs: the same as a new request's, at this moment."""

from datetime import timedelta
from typing import Any

import time_machine
from django.utils import timezone

from apikeys.models import ApiKey
from apikeys.verbs.change import change
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.retries import RetryTestCase


class AuthorityTests(RetryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.create()

    def tearDown(self) -> None:
        """Check that no refusal replaced the secret."""
        self.assertFalse(AuditEvent.objects.filter(action="api_key.secret_replaced").exists())

    def test_replay_by_a_restricted_caller_is_refused(self):
        change(self.key, actor=Actor.cli(), scopes=["tests:read"])
        self.assertRefused(self.create(), 403, "insufficient_scope")

    def test_replay_by_a_caller_with_an_earlier_expiry_is_refused(self):
        change(self.key, actor=Actor.cli(), expires_at=timezone.now() + timedelta(days=1))
        self.assertRefused(self.create(), 403, "exceeds_caller")

    def test_replay_by_a_secret_being_rotated_out_is_refused(self):
        rotate(self.key, actor=Actor.cli(), overlap=timedelta(days=1))
        self.assertRefused(self.create(), 403, "exceeds_caller")

    def test_replay_by_a_caller_bound_to_addresses_is_refused(self):
        change(self.key, actor=Actor.cli(), allowed_ips=["127.0.0.0/8"])
        self.assertRefused(self.create(), 403, "exceeds_caller")

    def test_replay_from_a_wrong_address_is_refused(self):
        change(self.key, actor=Actor.cli(), allowed_ips=["192.0.2.0/24"])
        self.assertRefused(self.create(), 403, "ip_not_allowed")

    def test_replay_while_suspended_is_refused(self):
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.assertRefused(self.create(), 403, "organization_suspended")

    def test_replay_by_a_revoked_caller_is_refused(self):
        revoke(self.key, actor=Actor.cli())
        self.assertRefused(self.create(), 401, "api_key_invalid")

    def test_replay_by_an_expired_caller_is_refused(self):
        change(self.key, actor=Actor.cli(), expires_at=timezone.now() + timedelta(minutes=1))
        with time_machine.travel(timezone.now() + timedelta(hours=1)):
            self.assertRefused(self.create(), 401, "api_key_expired")

    def test_replay_by_a_sibling_key_is_a_new_request(self):
        _, sibling = self.issue()
        self.assertEqual(self.create(by=sibling).status_code, 201)
        self.assertEqual(ApiKey.objects.exclude(maker=None).count(), 2)


class WidenedKeyTests(RetryTestCase):
    """The created key now exceeds its caller: handing it over would widen the caller's rights."""

    def test_replay_of_a_key_widened_beyond_its_caller_is_refused(self):
        end = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
        table: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"expires_at": end}, {"expires_at": end + timedelta(days=1)}),
            ({"allowed_ips": ["127.0.0.0/8"]}, {"allowed_ips": ["127.0.0.1", "192.0.2.7"]}),
            ({"max_tests_per_month": 5}, {"max_tests_per_month": None}),
        ]
        for mine, wider in table:
            with self.subTest(mine):
                _, client = self.issue(**mine)
                created = ApiKey.objects.get(pk=self.create(by=client).json()["id"])
                change(created, actor=Actor.staff(self.sam), **wider)
                self.assertRefused(self.create(by=client), 403, "exceeds_caller")
                change(created, actor=Actor.staff(self.sam), **mine)
                self.assertWorks(self.replayed(self.create(by=client)))

    def test_replay_by_a_retiring_secret_returns_only_a_key_that_ends_with_it(self):
        for ends_with_it in (True, False):
            with self.subTest(ends_with_it):
                key, old = self.issue()
                if ends_with_it:
                    self.rotate(old, key)
                self.made(self.create(by=old))
                if ends_with_it:
                    self.assertWorks(self.replayed(self.create(by=old)))
                else:
                    self.rotate(old, key)
                    self.assertRefused(self.create(by=old), 403, "exceeds_caller")


class LimitTests(RetryTestCase):
    def test_replay_works_at_the_key_limit(self):
        self.acme.plan.active_keys_limit = 2
        self.acme.plan.save()
        self.made(self.create())
        self.assertRefused(self.create("t-2"), 403, "key_limit_reached")
        self.assertWorks(self.replayed(self.create()))
        self.assertRefused(self.create("t-2"), 403, "key_limit_reached")

    def test_replay_beyond_the_key_limit_is_refused(self):
        self.made(self.create())
        self.issue()
        self.acme.plan.active_keys_limit = 2
        self.acme.plan.save()
        self.assertRefused(self.create(), 403, "key_limit_reached")
