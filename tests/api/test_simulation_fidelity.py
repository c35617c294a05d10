"""Tests of simulation fidelity: each error is provoked with a live key and compared."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest import mock

import time_machine
from django.db import OperationalError, transaction
from django.test import override_settings

from accounts.models import Plan
from apikeys.authentication.caller import Caller
from apikeys.authentication.simulation import CODES
from apikeys.plaintext import new_plaintext
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import Answer, ApiClient, ApiTestCase

NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)
ME, KEYS = "/v1/auth/me", "/v1/keys"
JSON = "application/json"


@override_settings(ROOT_URLCONF="tests.sibling.service")
class FidelityTests(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.live = self.issue()[1]
        self.sandbox = self.issue(livemode=False)[1]
        for client in (self.live, self.sandbox):
            client.raise_request_exception = False

    def agree(self, **limits: int | None) -> None:
        self.acme.change_plan(actor=Actor.cli(), reason="test", **limits)

    def test_simulated_error_has_the_form_of_the_real_one_for_every_code(self):
        self.assertEqual([code for code in CODES if not hasattr(self, code)], [])
        for code in CODES:
            with self.subTest(code), transaction.atomic():
                provoke: Callable[[], Answer] = getattr(self, code)
                real = provoke()
                rehearsed = self.sandbox.simulate(code)
                self.assertEqual(real.json()["error"]["code"], code)
                self.assertSame(real, rehearsed)
                transaction.set_rollback(True)

    def assertSame(self, real: Answer, rehearsed: Answer) -> None:
        self.assertEqual(rehearsed.status_code, real.status_code)
        in_earnest, in_rehearsal = real.json()["error"], rehearsed.json()["error"]
        self.assertEqual(list(in_rehearsal), list(in_earnest))
        types = {name: type(value) for name, value in in_earnest.items() if value is not None}
        for name, kind in types.items():
            self.assertIsInstance(in_rehearsal[name], kind)
        self.assertEqual(in_rehearsal["type"], in_earnest["type"])
        names = [set(answer.headers) for answer in (real, rehearsed)]
        self.assertEqual(*names)
        for name in ("Content-Type", "Cache-Control", "Allow"):
            self.assertEqual(rehearsed.headers.get(name), real.headers.get(name))
        for name, form in (
            ("Retry-After", r"[1-9]\d*"),
            ("WWW-Authenticate", r'Bearer (realm="\w+", )?error="\w+"(, scope="[\w: ]+")?'),
            ("RateLimit-Reset", r"\d{10}"),
        ):
            for answer in (real, rehearsed):
                if name in answer.headers:
                    self.assertRegex(answer.headers[name], rf"^{form}$")
        self.assertEqual(in_rehearsal["doc_url"], in_earnest["doc_url"])

    def test_simulated_error_equals_the_real_one_unless_it_depends_on_the_request(self):
        exact = set(CODES) - {
            # These errors name a detail of the request.
            "insufficient_scope",
            "exceeds_caller",
            "key_limit_reached",
            "quota_exceeded",
            "missing_required_field",
            "parameter_unknown",
            "parameter_invalid",
            "contains_api_key",
            "resource_not_found",
            "rate_limit_exceeded",
            "key_not_active",
            "invalid_json",
            "staff_only",
        }
        for code in exact:
            with self.subTest(code), transaction.atomic():
                real, rehearsed = getattr(self, code)(), self.sandbox.simulate(code)
                errors = [answer.json()["error"] for answer in (real, rehearsed)]
                for error in errors:
                    del error["request_id"]
                self.assertEqual(*errors)
                transaction.set_rollback(True)

    # Each provokes the error of its name with a live key.

    def api_key_invalid(self) -> Answer:
        return ApiClient(new_plaintext(livemode=True)).get(ME)

    def api_key_expired(self) -> Answer:
        ending = self.issue(expires_at=timedelta(seconds=1) + NOON)[1]
        with time_machine.travel(NOON + timedelta(seconds=1), tick=False):
            return ending.get(ME)

    def api_key_in_url(self) -> Answer:
        return self.live.get(f"{ME}?q={self.live.key}")

    def https_required(self) -> Answer:
        with self.settings(SECURE_SSL_REDIRECT=True):
            return self.live.get(ME)

    def insufficient_scope(self) -> Answer:
        return self.restricted().send(KEYS, {"name": "x"})

    def exceeds_caller(self) -> Answer:
        maker = self.issue(max_tests_per_month=5)[1]
        return maker.send(KEYS, {"name": "x", "max_tests_per_month": 6})

    def ip_not_allowed(self) -> Answer:
        return self.issue(allowed_ips=["192.0.2.7"])[1].get(ME)

    def key_limit_reached(self) -> Answer:
        Plan.objects.filter(slug="team").update(active_keys_limit=1)
        return self.live.send(KEYS, {"name": "x"})

    def quota_exceeded(self) -> Answer:
        self.agree(tests_limit=0)
        return self.live.send("/v1/tests", {"subject": "x"})

    def organization_suspended(self) -> Answer:
        stranger = self.issue(organization=self.globex)[1]
        self.globex.suspend(actor=Actor.cli(), reason="test")
        return stranger.get(ME)

    def missing_required_field(self) -> Answer:
        return self.live.send(KEYS, {})

    def parameter_unknown(self) -> Answer:
        return self.live.send(KEYS, {"name": "x", "scope": []})

    def staff_only(self) -> Answer:
        return self.live.change("/v1/organization", {"on_leak": "notify"})

    def parameter_invalid(self) -> Answer:
        return self.live.send(KEYS, {"name": 5})

    def contains_api_key(self) -> Answer:
        return self.live.send(KEYS, {"name": self.live.key})

    def invalid_json(self) -> Answer:
        return self.live.post(KEYS, b"{", content_type=JSON)

    def request_invalid(self) -> Answer:
        return self.live.get(ME + "?" + "&".join(f"a{i}=1" for i in range(2000)))

    def host_not_allowed(self) -> Answer:
        return self.live.get(ME, headers={"Host": "evil.example"})

    def resource_not_found(self) -> Answer:
        return self.live.get(f"{KEYS}/key_000000000000")

    def method_not_allowed(self) -> Answer:
        return self.live.patch(ME)

    def not_acceptable(self) -> Answer:
        return self.live.get(ME, headers={"Accept": "text/csv"})

    def length_required(self) -> Answer:
        return self.live.generic("POST", KEYS, b"{}", content_type=JSON, CONTENT_LENGTH="")

    def request_too_large(self) -> Answer:
        return self.live.post(KEYS, b"x" * 70_000, content_type=JSON)

    def unsupported_media_type(self) -> Answer:
        return self.live.post(KEYS, b"{}", content_type="text/plain")

    def rate_limit_exceeded(self) -> Answer:
        self.agree(requests_per_minute=1)
        self.live.get(ME)
        refused = self.live.get(ME)
        self.agree(requests_per_minute=100_000)
        return refused

    def key_not_active(self) -> Answer:
        ended = self.issue()[0]
        revoke(ended, actor=Actor.cli())
        return self.live.change(f"{KEYS}/{ended.id}", {"name": "y"})

    def idempotency_key_reused(self) -> Answer:
        self.live.send(KEYS, {"name": "x"}, **{"Idempotency-Key": "once"})
        return self.live.send(KEYS, {"name": "y"}, **{"Idempotency-Key": "once"})

    def idempotency_in_progress(self) -> Answer:
        taken = "SELECT %s::bigint IS NULL"
        with mock.patch("apikeys.verbs.issue.TRY_LOCK", taken):
            return self.live.send(KEYS, {"name": "x"}, **{"Idempotency-Key": "at-once"})

    def idempotency_secret_used(self) -> Answer:
        made = self.live.send(KEYS, {"name": "x"}, **{"Idempotency-Key": "twice"})
        ApiClient(made.json()["key"]).get(ME)
        return self.live.send(KEYS, {"name": "x"}, **{"Idempotency-Key": "twice"})

    def temporarily_unavailable(self) -> Answer:
        with mock.patch.object(Caller, "auth_context", side_effect=OperationalError):
            return self.live.get(ME)

    def internal_error(self) -> Answer:
        with mock.patch.object(Caller, "auth_context", side_effect=ZeroDivisionError):
            return self.live.get(ME)
