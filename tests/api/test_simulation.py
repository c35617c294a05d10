"""Tests of ReachScore-Simulate: a sandbox key can get every error as a live caller would."""

import html
import re
from datetime import UTC, datetime, timedelta

import time_machine
from django.test import override_settings

from apikeys.authentication.simulation import CODES
from apikeys.models import ApiKey, RememberedRequest
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent
from tests.sibling.models import EmailTest
from tests.support.captured import captured_logs
from tests.support.cast import ApiClient, ApiTestCase
from web.errors.catalogue import CATALOGUE
from web.telemetry.metrics import REGISTRY

NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)
NOT_TO_REHEARSE = {"api_key_missing", "simulate_in_live_mode", "simulate_unknown_code"} | {
    "gateway_token_required",
    "mode_not_allowed",
    "signature_invalid",
}
# These errors are answered before the request is counted.
WITHOUT_WINDOW = {
    "api_key_invalid",
    "api_key_expired",
    "api_key_in_url",
    "https_required",
    "organization_suspended",
    "ip_not_allowed",
    "request_invalid",
    "host_not_allowed",
    "method_not_allowed",
    "not_acceptable",
}
WINDOW = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


@override_settings(ROOT_URLCONF="tests.sibling.service")
class SimulationTestCase(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.live_key, self.live = self.issue()
        self.sandbox_key, self.sandbox = self.issue(livemode=False)
        for client in (self.live, self.sandbox):
            client.raise_request_exception = False


class EveryCodeTests(SimulationTestCase):
    def test_every_code_can_be_simulated_except_the_listed_ones(self):
        self.assertEqual(set(CATALOGUE) - set(CODES), NOT_TO_REHEARSE)
        for code in NOT_TO_REHEARSE:
            error = self.assertRefused(
                self.sandbox.simulate(code),
                400,
                "simulate_unknown_code",
                field="ReachScore-Simulate",
            )
            self.assertIn(f"The error {code} cannot be simulated.", error["message"])

    def test_simulated_error_has_the_codes_status_type_and_headers(self):
        for code in CODES:
            with self.subTest(code):
                response = self.sandbox.simulate(code)
                error = response.json()["error"]
                field = error.get("field")
                self.assertRefused(response, CATALOGUE[code].status, code, field=field)
                status = response.status_code
                self.assertEqual(
                    "WWW-Authenticate" in response.headers,
                    status == 401 or code == "insufficient_scope",
                )
                waits = code in (
                    "rate_limit_exceeded",
                    "temporarily_unavailable",
                    "idempotency_in_progress",
                )
                self.assertEqual("Retry-After" in response.headers, waits)
                self.assertEqual("Allow" in response.headers, code == "method_not_allowed")
                window = [name for name in WINDOW if name in response.headers]
                self.assertEqual(window, [] if code in WITHOUT_WINDOW else list(WINDOW))

    def test_simulated_error_carries_the_expiry_header_if_the_caller_is_known(self):
        ending = self.issue(livemode=False, expires_at=NOON + timedelta(days=5))[1]
        for code, given in [
            ("internal_error", True),
            ("organization_suspended", True),
            ("ip_not_allowed", True),
            ("api_key_invalid", False),
            ("api_key_expired", False),
            ("not_acceptable", False),
        ]:
            response = ending.simulate(code)
            self.assertEqual("ReachScore-Key-Expires-At" in response.headers, given, code)

    def test_simulated_request_does_nothing_but_count(self):
        before = AuditEvent.objects.count()
        for number, code in enumerate(CODES, 1):
            headers = {"ReachScore-Simulate": code, "Idempotency-Key": f"{code}-once"}
            self.assertEqual(
                self.sandbox.send("/v1/keys", {"name": "x"}, **headers).status_code,
                CATALOGUE[code].status,
            )
            self.sandbox.delete(f"/v1/keys/{self.sandbox_key.id}", headers=headers)
            self.assertEqual(self.sandbox_key.days.get().requests, 2 * number)
        self.assertEqual(AuditEvent.objects.count(), before)
        self.assertEqual(ApiKey.objects.count(), 2)
        self.assertEqual(RememberedRequest.objects.count(), 0)
        remaining = int(self.sandbox.get("/v1/auth/me")["RateLimit-Remaining"])
        self.assertEqual(remaining, 100_000 - 2 * len(CODES) - 1)


class PrecedenceTests(SimulationTestCase):
    def test_simulation_by_an_unusable_key_is_refused_for_the_key(self):
        revoke(self.sandbox_key, actor=Actor.cli())
        self.assertRefused(self.sandbox.simulate("quota_exceeded"), 401, "api_key_invalid")
        self.assertRefused(ApiClient("x").simulate("quota_exceeded"), 401, "api_key_invalid")

    def test_simulation_over_the_real_rate_limit_is_refused_for_it(self):
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=1)
        self.assertRefused(self.sandbox.simulate("internal_error"), 500, "internal_error")
        for client in (self.sandbox, self.live):
            client.get("/v1/auth/me")
            refused = client.simulate("internal_error")
            self.assertRefused(refused, 429, "rate_limit_exceeded")
            self.assertEqual(refused["Retry-After"], "40")

    def test_simulation_ignores_scopes_paths_ids_and_bodies(self):
        restricted = self.issue(livemode=False, scopes=["webhooks:manage"])[1]
        for path in ("/v1/keys", "/v1/keys/key_000000000000", "/v1/usage", "/v1/keys?page=2"):
            refused = restricted.simulate("key_limit_reached", path)
            self.assertRefused(refused, 403, "key_limit_reached")
        response = restricted.send("/v1/keys", {"no": 1}, **{"ReachScore-Simulate": "invalid_json"})
        self.assertRefused(response, 400, "invalid_json")

    def test_simulation_of_an_unknown_path_or_method_is_refused_for_that(self):
        self.assertRefused(self.sandbox.simulate("x", "/v1/nope"), 404, "resource_not_found")
        wrong = self.sandbox.patch("/v1/auth/me", headers={"ReachScore-Simulate": "quota_exceeded"})
        self.assertRefused(wrong, 405, "method_not_allowed")

    def test_simulation_by_a_live_key_is_simulate_in_live_mode(self):
        for code in ("internal_error", "nonsense", ""):
            refused = self.live.simulate(code)
            self.assertRefused(refused, 400, "simulate_in_live_mode", field="ReachScore-Simulate")
            self.assertEqual(refused["RateLimit-Limit"], "100000")

    def test_simulation_of_an_unknown_code_lists_the_codes(self):
        for wish, hint in [
            ("quota_exeeded", "Did you mean quota_exceeded?"),
            ("INTERNAL_ERROR", "Did you mean internal_error?"),
            ("", ""),
            ("internal_error, quota_exceeded", ""),
            ("x" * 5000, ""),
            ("<b>\x01é", ""),
            (self.live.key, ""),
        ]:
            refused = self.sandbox.simulate(wish)
            error = self.assertRefused(
                refused, 400, "simulate_unknown_code", field="ReachScore-Simulate"
            )
            self.assertIn(hint, error["message"])
            self.assertEqual([code for code in CODES if code not in error["fix"]], [])
            self.assertNotIn(self.live.key[20:], refused.content.decode())
            self.assertLess(len(refused.content), 3000)

    def test_simulation_works_on_a_siblings_endpoints(self):
        headers = {"ReachScore-Simulate": "quota_exceeded"}
        refused = self.sandbox.send("/v1/tests", {"subject": "x"}, **headers)
        error = self.assertRefused(refused, 403, "quota_exceeded")
        self.assertEqual(
            (error["limit"], error["used"], error["resets_at"]),
            (1000, 1000, "2026-04-01T00:00:00Z"),
        )
        self.assertEqual(EmailTest.objects.count(), 0)

    def test_simulated_error_shows_the_callers_own_limits(self):
        self.acme.change_plan(actor=Actor.cli(), reason="test", tests_limit=7)
        self.assertEqual(self.sandbox.simulate("quota_exceeded").json()["error"]["limit"], 7)
        limited = self.sandbox.simulate("rate_limit_exceeded")
        numbers = [limited[name] for name in (*WINDOW, "Retry-After")]
        ends_at = int(NOON.replace(minute=1, second=0).timestamp())
        self.assertEqual(numbers, ["100000", "0", str(ends_at), "40"])

    def test_simulated_limits_are_numbers_for_an_unlimited_organization(self):
        unlimited = self.issue(livemode=False, organization=self.organization("X", "enterprise"))[1]
        limited = unlimited.simulate("rate_limit_exceeded")
        self.assertRefused(limited, 429, "rate_limit_exceeded")
        self.assertEqual([limited.headers.get(name) is None for name in WINDOW], [False] * 3)
        self.assertGreater(unlimited.simulate("quota_exceeded").json()["error"]["limit"], 0)


class LogTests(SimulationTestCase):
    def test_simulation_is_logged_as_such_and_neither_as_bug_nor_as_failed_authentication(self):
        with captured_logs() as logs:
            for code in ("internal_error", "temporarily_unavailable", "api_key_invalid"):
                self.sandbox.simulate(code)
            self.clock.shift(timedelta(minutes=5))
            self.client.get("/healthz")
        levels = {(record["logger"], record["level"]) for record in logs.records()}
        self.assertEqual(
            levels, {("reachscore.api", "INFO"), ("reachscore.request", "INFO")}, logs.getvalue()
        )
        said = [record["message"] for record in logs.records("reachscore.api")]
        self.assertEqual(
            said,
            [
                "Simulated internal_error",
                "Simulated temporarily_unavailable",
                "Simulated api_key_invalid",
            ],
        )
        self.assertEqual(logs.records("reachscore.security"), [])
        requests = [record for record in logs.records("reachscore.request") if record["key"]]
        self.assertEqual([record["status"] for record in requests], [500, 503, 401])
        self.assertEqual([record["simulated"] for record in requests], [True] * 3)

    def test_request_line_is_marked_simulated_only_if_it_is(self):
        with captured_logs() as logs:
            self.sandbox.simulate("internal_error")
            self.sandbox.get("/v1/auth/me")
            self.live.simulate("internal_error")
            self.sandbox.simulate("nonsense")
        requests = logs.records("reachscore.request")
        self.assertEqual([record.get("simulated") for record in requests], [True, None, None, None])

    def test_simulation_is_counted_apart_in_metrics(self):
        def counted() -> dict[str, float]:
            names = ("simulated", "500", "503", "401")
            values = {
                name: REGISTRY.get_sample_value(
                    "reachscore_requests_total", {"route": "v1/auth/me", "status": name}
                )
                for name in names
            }
            return {name: value or 0 for name, value in values.items()}

        before = counted()
        for code in ("internal_error", "temporarily_unavailable", "api_key_invalid"):
            self.sandbox.simulate(code)
        self.assertEqual(counted(), before | {"simulated": before["simulated"] + 3})


class ErrorPageTests(SimulationTestCase):
    def test_error_page_has_a_curl_for_every_code_that_can_be_simulated(self):
        page = html.unescape(self.client.get("/docs/errors").content.decode())
        curls = re.findall(
            r'curl -i (\S+) -H "Authorization: Bearer \$REACHSCORE_KEY" \\\n'
            r'  -H "ReachScore-Simulate: (\w+)"',
            page,
        )
        self.assertEqual([code for _, code in curls], CODES)
        self.assertEqual({address for address, _ in curls}, {"http://testserver/v1/auth/me"})
