"""Tests of `GET /v1/auth/me`: the key's organization, its scopes, its usage against the plan."""

from datetime import UTC, date, datetime
from typing import Any

import time_machine

from accounts.models import Meter, Usage
from accounts.models.usage import ALWAYS
from tests.support.cast import ApiTestCase

MARCH = date(2026, 3, 1)


@time_machine.travel(datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), tick=False)
class AuthContextTests(ApiTestCase):
    def use(self, meter: Meter, used: int, *, period: date = MARCH, livemode: bool = True) -> None:
        Usage.objects.create(
            organization=self.acme, livemode=livemode, meter=meter, period_start=period, used=used
        )

    def test_auth_me_answers_the_documented_fields_in_order(self):
        api_key, client = self.issue(scopes=["tests:read", "tests:write"])
        self.use(Meter.TESTS, 145)
        self.use(Meter.DOMAINS, 3, period=ALWAYS)

        response = client.get("/v1/auth/me")

        self.assertEqual(response.status_code, 200)
        self.assertEqual(response["Cache-Control"], "no-store")
        expected: dict[str, Any] = {
            "key_id": api_key.id,
            "key_name": "CI",
            "scopes": ["tests:read", "tests:write"],
            "organization": {"id": self.acme.id, "name": "Acme", "plan": "team"},
            "usage": {
                "tests_this_month": 145,
                "tests_limit": 1000,
                "domains": 3,
                "domains_limit": 10,
            },
            "livemode": True,
        }
        self.assertEqual(response.json(), expected)
        self.assertEqual(list(response.json()), list(expected))
        self.assertEqual(list(response.json()["usage"]), list(expected["usage"]))

    def test_auth_me_needs_no_scope(self):
        _, client = self.issue(scopes=["webhooks:manage"])
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_auth_me_shows_usage_of_the_callers_mode_only(self):
        self.use(Meter.TESTS, 145)
        self.use(Meter.TESTS, 7, livemode=False)
        _, client = self.issue(livemode=False)
        answer = client.get("/v1/auth/me").json()
        self.assertIs(answer["livemode"], False)
        self.assertEqual(answer["usage"]["tests_this_month"], 7)

    def test_auth_me_in_sandbox_shows_null_limits(self):
        _, client = self.issue(livemode=False)
        usage = client.get("/v1/auth/me").json()["usage"]
        self.assertIsNone(usage["tests_limit"])
        self.assertIsNone(usage["domains_limit"])

    def test_auth_me_on_an_unlimited_plan_shows_null_limits(self):
        _, client = self.issue(organization=self.organization("Initech", "enterprise"))
        usage = client.get("/v1/auth/me").json()["usage"]
        self.assertEqual(
            usage,
            {"tests_this_month": 0, "tests_limit": None, "domains": 0, "domains_limit": None},
        )

    def test_auth_me_usage_starts_at_zero_with_the_utc_month(self):
        self.use(Meter.TESTS, 145)
        _, client = self.issue()
        with time_machine.travel(datetime(2026, 4, 1, tzinfo=UTC), tick=False):
            self.assertEqual(client.get("/v1/auth/me").json()["usage"]["tests_this_month"], 0)

    def test_auth_me_usage_of_the_free_plan_does_not_reset_with_the_month(self):
        _, client = self.issue(organization=self.globex)
        Usage.objects.create(
            organization=self.globex,
            livemode=True,
            meter=Meter.TESTS,
            period_start=ALWAYS,
            used=25,
        )
        with time_machine.travel(datetime(2026, 9, 1, tzinfo=UTC), tick=False):
            usage = client.get("/v1/auth/me").json()["usage"]
        self.assertEqual((usage["tests_this_month"], usage["tests_limit"]), (25, 25))

    def test_auth_me_does_not_show_another_organizations_usage(self):
        self.use(Meter.TESTS, 145)
        _, client = self.issue(organization=self.organization("Initech", "team"))
        self.assertEqual(client.get("/v1/auth/me").json()["usage"]["tests_this_month"], 0)

    def test_auth_me_answers_head_without_a_body(self):
        _, client = self.issue()
        response = client.head("/v1/auth/me")
        self.assertEqual((response.status_code, response.content), (200, b""))
