"""Tests of the rate limit: requests per minute of each organization and mode, told in headers."""

from datetime import UTC, datetime, timedelta
from unittest import mock

import time_machine
from django.test import Client

from accounts.models import Organization, Plan, RateWindow
from apikeys.authentication.caller import Caller
from apikeys.models import KeyDay
from apikeys.plaintext import new_plaintext
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import Answer, ApiClient, ApiTestCase

NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NEXT_MINUTE = int(datetime(2026, 3, 10, 12, 1, tzinfo=UTC).timestamp())
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


class RateLimitTestCase(ApiTestCase):
    """The clock stands at 20 s past noon, and Acme may send three requests a minute."""

    limit = 3

    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.agree(requests_per_minute=self.limit)
        self.api_key, self.api = self.issue()

    def agree(self, organization: Organization | None = None, **terms: object) -> None:
        (organization or self.acme).change_plan(actor=Actor.cli(), reason="agreed", **terms)

    def ask(self, client: ApiClient | None = None) -> Answer:
        return (client or self.api).get("/v1/auth/me")

    def use_up(self, client: ApiClient | None = None) -> None:
        for _ in range(self.limit):
            self.assertEqual(self.ask(client).status_code, 200)

    def assertWindow(self, response: Answer, limit: int, remaining: int) -> None:
        numbers = [response.headers.get(name) for name in HEADERS]
        self.assertEqual(numbers, [str(limit), str(remaining), str(NEXT_MINUTE)])

    def assertNoWindow(self, response: Answer) -> None:
        self.assertEqual([name for name in HEADERS if name in response.headers], [])


class HeaderTests(RateLimitTestCase):
    limit = 100

    def test_rate_limit_headers_are_on_every_answer_to_a_counted_caller(self):
        restricted = self.restricted()
        broken = ApiClient(self.api.key)
        broken.raise_request_exception = False
        for remaining, (status, ask) in enumerate(
            [
                (200, lambda: self.api.get("/v1/auth/me")),
                (201, lambda: self.api.send("/v1/keys", {"name": "x"})),
                (400, lambda: self.api.send("/v1/keys", {})),
                (400, lambda: self.api.get("/v1/keys?page=2")),
                (400, lambda: self.api.simulate("internal_error")),
                (403, lambda: restricted.send("/v1/keys", {"name": "x"})),
                (404, lambda: self.api.get("/v1/keys/key_000000000000")),
                (411, lambda: self.api.generic("POST", "/v1/keys", b"", CONTENT_LENGTH="")),
                (415, lambda: self.api.post("/v1/keys", "x", content_type="text/plain")),
                (500, lambda: broken.get("/v1/auth/me")),
            ],
            1,
        ):
            with self.subTest(status):
                if status == 500:
                    with mock.patch.object(
                        Caller,
                        "auth_context",
                        side_effect=ZeroDivisionError,
                    ):
                        response = ask()
                else:
                    response = ask()
                self.assertEqual(response.status_code, status)
                self.assertWindow(response, 100, 100 - remaining)

    def test_rate_limit_headers_are_absent_if_no_caller_was_counted(self):
        elsewhere = self.issue(allowed_ips=["192.0.2.7"])[1]
        revoked_key, revoked = self.issue()
        revoke(revoked_key, actor=Actor.cli())
        expired = self.issue(expires_at=NOON + timedelta(hours=1))[1]
        suspended = self.issue(organization=self.globex)[1]
        self.globex.suspend(actor=Actor.cli(), reason="unpaid")
        self.clock.shift(timedelta(hours=1))
        for status, client in [
            (401, Client()),
            (401, ApiClient("nonsense")),
            (401, ApiClient(new_plaintext(livemode=True))),
            (401, revoked),
            (401, expired),
            (403, suspended),
            (403, elsewhere),
        ]:
            response = client.get("/v1/auth/me")
            self.assertEqual(response.status_code, status)
            self.assertNoWindow(response)
        for status, response in [
            (404, self.api.get("/v1/nope")),
            (405, self.api.patch("/v1/auth/me")),
            (406, self.api.get("/v1/auth/me", headers={"Accept": "text/csv"})),
            (400, self.api.get("/v1/auth/me?token=x")),
        ]:
            self.assertEqual(response.status_code, status)
            self.assertNoWindow(response)
        self.assertEqual((RateWindow.objects.count(), KeyDay.objects.count()), (0, 0))

    def test_rate_limit_headers_are_absent_without_a_limit(self):
        client = self.issue(organization=self.organization("Initech", "enterprise"))[1]
        for _ in range(50):
            response = self.ask(client)
            self.assertEqual(response.status_code, 200)
            self.assertNoWindow(response)
        self.assertEqual(KeyDay.objects.get().requests, 50)

    def test_rate_limit_headers_do_not_leak_into_the_next_answer(self):
        self.ask()
        self.assertNoWindow(Client().get("/v1/auth/me"))


class LimitTests(RateLimitTestCase):
    def test_rate_limit_passes_its_last_request_and_refuses_the_next_with_retry_after(
        self,
    ):
        for remaining in (2, 1, 0):
            response = self.ask()
            self.assertEqual(response.status_code, 200)
            self.assertWindow(response, 3, remaining)
        for _ in range(2):
            response = self.ask()
            error = self.assertRefused(response, 429, "rate_limit_exceeded")
            self.assertWindow(response, 3, 0)
            self.assertEqual(response["Retry-After"], "40")
            self.assertIn("40 s", error["fix"])

    def test_rate_limit_window_written_by_a_fast_clock_blocks_for_a_minute_at_most(self):
        for ahead in (timedelta(seconds=45), timedelta(minutes=10), timedelta(days=400)):
            with self.subTest(ahead), time_machine.travel(NOON + ahead, tick=False):
                RateWindow.objects.all().delete()
                self.use_up()
                self.assertEqual(self.ask().status_code, 429)
            response = self.ask()
            if ahead < MINUTE:  # Less than a minute apart, they share a window.
                self.assertRefused(response, 429, "rate_limit_exceeded")
                self.assertEqual(response["Retry-After"], "60")
            else:
                self.assertEqual(response.status_code, 200)
                self.assertWindow(response, 3, 2)

    def test_request_after_the_announced_retry_after_is_served(self):
        self.use_up()
        for seconds in (0.5, 25.25, 13.99):
            self.clock.shift(seconds)
            refused = self.ask()
            self.assertRefused(refused, 429, "rate_limit_exceeded")
            self.assertGreaterEqual(int(refused["Retry-After"]), 1)
        self.clock.shift(int(refused["Retry-After"]))
        self.assertEqual(self.ask().status_code, 200)

    def test_insufficient_scope_takes_precedence_over_a_reached_rate_limit(self):
        restricted = self.restricted()
        self.use_up()
        refused = restricted.send("/v1/keys", {"name": "x"})
        self.assertRefused(refused, 403, "insufficient_scope")
        self.assertWindow(refused, 3, 0)
        self.assertRefused(self.ask(restricted), 429, "rate_limit_exceeded")

    def test_rate_limited_request_does_nothing(self):
        self.use_up()
        refused = self.api.send("/v1/keys", {"name": "x"})
        self.assertRefused(refused, 429, "rate_limit_exceeded")
        self.assertNothingWritten(refused)

    def test_rate_limit_is_shared_by_all_keys_of_the_organization_and_mode(self):
        second = self.issue()[1]
        sandbox = self.issue(livemode=False)[1]
        stranger = self.issue(organization=self.globex)[1]
        self.use_up()
        self.assertRefused(self.ask(second), 429, "rate_limit_exceeded")
        self.assertWindow(self.ask(sandbox), 3, 2)
        self.assertWindow(self.ask(stranger), 20, 19)

    def test_rate_limit_holds_in_the_sandbox(self):
        sandbox = self.issue(livemode=False)[1]
        self.use_up(sandbox)
        self.assertRefused(self.ask(sandbox), 429, "rate_limit_exceeded")
        self.assertWindow(self.ask(), 3, 2)

    def test_failed_authentication_uses_none_of_the_rate_limit(self):
        for key in ("nonsense", new_plaintext(livemode=True), self.api.key[:-1] + "!"):
            for _ in range(10):
                self.assertEqual(self.ask(ApiClient(key)).status_code, 401)
        elsewhere = self.issue(allowed_ips=["192.0.2.7"])[1]
        self.assertEqual(self.ask(elsewhere).status_code, 403)
        self.assertWindow(self.ask(), 3, 2)


class TermsTests(RateLimitTestCase):
    def test_rate_limit_is_the_plans(self):
        for plan, limit in {"free": 20, "starter": 60, "team": 120, "business": 300}.items():
            client = self.issue(organization=self.organization("Initech", plan))[1]
            self.assertWindow(self.ask(client), limit, limit - 1)

    def test_rate_limit_override_holds_from_the_next_request_on_and_keeps_the_count(self):
        self.use_up()
        self.assertRefused(self.ask(), 429, "rate_limit_exceeded")
        self.agree(requests_per_minute=10)
        self.assertWindow(self.ask(), 10, 5)
        self.agree(requests_per_minute=2)
        self.assertRefused(self.ask(), 429, "rate_limit_exceeded")
        self.agree(requests_per_minute=None)
        self.assertWindow(self.ask(), 120, 113)

    def test_rate_limit_of_a_changed_plan_holds_from_the_next_request_on(self):
        self.agree(requests_per_minute=None)
        self.assertWindow(self.ask(), 120, 119)
        self.agree(plan=Plan.objects.get(slug="business"))
        self.assertWindow(self.ask(), 300, 298)
        self.agree(plan=Plan.objects.get(slug="enterprise"))
        self.assertNoWindow(self.ask())
        self.agree(requests_per_minute=5)
        self.assertWindow(self.ask(), 5, 2)

    def test_rate_limit_of_zero_refuses_every_request(self):
        self.agree(requests_per_minute=0)
        refused = self.ask()
        self.assertRefused(refused, 429, "rate_limit_exceeded")
        self.assertWindow(refused, 0, 0)


class WindowTests(RateLimitTestCase):
    def window(self) -> tuple[datetime, int]:
        window = RateWindow.objects.get(organization=self.acme, livemode=True)
        return window.started_at, window.requests

    def test_rate_limit_window_ends_exactly_with_the_minute(self):
        self.use_up()
        self.clock.move_to(NOON.replace(second=59, microsecond=999_999))
        refused = self.ask()
        self.assertRefused(refused, 429, "rate_limit_exceeded")
        self.assertEqual(refused["Retry-After"], "1")
        self.clock.move_to(NOON.replace(minute=1, second=0))
        response = self.ask()
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response["RateLimit-Remaining"], "2")
        self.assertEqual(response["RateLimit-Reset"], str(NEXT_MINUTE + 60))

    def test_rate_limit_counts_a_late_request_into_the_newer_window(self):
        self.clock.move_to(NOON.replace(minute=1, second=5))
        self.ask()
        self.clock.move_to(NOON.replace(second=59))
        late = self.ask()
        self.assertEqual(late.status_code, 200)
        self.assertEqual(late["RateLimit-Remaining"], "1")
        self.assertEqual(late["RateLimit-Reset"], str(NEXT_MINUTE + 60))
        self.assertEqual(self.window(), (NOON.replace(minute=1, second=0), 2))

        self.ask()
        refused = self.ask()
        self.assertRefused(refused, 429, "rate_limit_exceeded")
        self.assertEqual(refused["Retry-After"], "60")

    def test_rate_limit_keeps_one_row_over_many_minutes(self):
        for _ in range(5):
            self.ask()
            self.clock.shift(MINUTE * 7)
        self.assertEqual(self.window()[1], 1)
