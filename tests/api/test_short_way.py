"""Tests of the short way of `GET /v1/auth/me` past DRF: it answers as the long way does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest import mock

import time_machine
from django.db import OperationalError
from django.test import Client
from rest_framework.views import APIView

from apikeys.api.me_and_usage import AuthContextView
from apikeys.authentication import BearerAuthentication
from apikeys.permissions import AnyCaller
from apikeys.plaintext import new_plaintext
from apikeys.throttling import RateLimit
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import Answer, ApiClient, ApiTestCase

ME = "/v1/auth/me"
NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)
OF_EACH_REQUEST = ("Request-Id", "RateLimit-Remaining", "Content-Length")


def short(client: Client, **headers: str) -> Answer:
    return client.get(ME, headers=headers)


def long(client: Client, **headers: str) -> Answer:
    return client.get(ME, headers={"Accept": "application/json", **headers})


class ShortWayTests(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.api_key, self.api = self.issue()

    def assertSame(self, client: Client, status: int, **headers: str) -> None:
        """Check that status, body and headers are equal except for what differs per request."""
        told = []
        for way in (short, long):
            answer = way(client, **headers)
            self.assertEqual(answer.status_code, status, answer.content[:500])
            body = answer.json()
            body.get("error", {}).pop("request_id", None)
            kept = {k: v for k, v in answer.headers.items() if k not in OF_EACH_REQUEST}
            told.append((body, kept, set(answer.headers)))
        self.assertEqual(*told)

    def test_short_way_is_taken_by_a_plain_get_only(self):
        others: list[Callable[[], Answer]] = [
            lambda: long(self.api),
            lambda: self.api.get(f"{ME}?require=tests:read"),
            lambda: self.api.head(ME),
            lambda: self.api.post(ME),
            lambda: self.api.options(ME),
        ]
        with mock.patch.object(APIView, "initialize_request", side_effect=ZeroDivisionError) as drf:
            self.assertEqual(short(self.api).status_code, 200)
            self.assertEqual(short(self.api, Accept="*/*").status_code, 200)
            drf.assert_not_called()
            for number, ask in enumerate(others, start=1):
                with self.assertRaises(ZeroDivisionError):
                    ask()
                self.assertEqual(drf.call_count, number)

    def test_short_way_checks_exactly_the_view_classes_rules(self):
        """A rule added to the view must be added to the short way, too."""
        view = AuthContextView
        self.assertEqual(view.authentication_classes, [BearerAuthentication])
        self.assertEqual(view.permission_classes, [AnyCaller])
        self.assertEqual(view.throttle_classes, [RateLimit])

    def test_short_way_answers_the_same_in_either_mode(self):
        for client in (self.api, self.issue(livemode=False)[1], self.restricted()):
            self.assertSame(client, 200)

    def test_short_way_refuses_an_unusable_key_the_same(self):
        for client in (
            Client(),
            Client(headers={"X-Api-Key": "rk_live_…"}),
            ApiClient("nonsense"),
            ApiClient(f"'{self.api.key}'"),
            ApiClient(new_plaintext(livemode=True)),
        ):
            self.assertSame(client, 401)

    def test_short_way_refuses_a_known_keys_forbidden_request_the_same(self):
        bound = self.issue(allowed_ips=["192.0.2.0/24"])[1]
        self.assertSame(bound, 403)
        revoke(self.api_key, actor=Actor.cli(), reason="test")
        self.assertSame(self.api, 401)
        client = self.issue(expires_at=NOON + timedelta(days=1))[1]
        self.assertSame(client, 200)  # With the expiry header.
        self.clock.shift(timedelta(days=1))
        self.assertSame(client, 401)
        self.acme.suspend(actor=Actor.cli(), reason="test")
        self.assertSame(self.issue()[1], 403)

    def test_short_way_refuses_over_the_rate_limit_the_same(self):
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=0)
        self.assertSame(self.api, 429)

    def test_short_way_simulates_the_same(self):
        sandbox = self.issue(livemode=False)[1]
        for code, status in (
            ("quota_exceeded", 403),
            ("internal_error", 500),
            ("api_key_expired", 401),
            ("method_not_allowed", 405),
            ("no_such_code", 400),
        ):
            self.assertSame(sandbox, status, **{"ReachScore-Simulate": code})
        self.assertSame(self.api, 400, **{"ReachScore-Simulate": "internal_error"})

    def test_short_way_answers_database_errors_and_bugs_the_same(self):
        self.api.raise_request_exception = False
        for error, status in ((OperationalError, 503), (ZeroDivisionError, 500)):
            with mock.patch("apikeys.api.me_and_usage.auth_context", side_effect=error):
                self.assertSame(self.api, status)
