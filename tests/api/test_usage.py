"""Tests of usage: each key's requests by day, and the organization's month."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import time_machine

from accounts.models import Meter, Plan, Usage
from accounts.models.usage import ALWAYS
from audit.actor import Actor
from tests.support.cast import ApiClient, ApiTestCase

NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)
DAY = timedelta(days=1)

APRIL = {"resets_at": "2026-04-01T00:00:00Z"}


class UsageTestCase(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.api_key, self.api = self.issue()

    def agree(self, **terms: object) -> None:
        self.acme.change_plan(actor=Actor.cli(), reason="agreed", **terms)


class KeyUsageTests(UsageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.watched, self.client_of_watched = self.issue(name="Import")

    def use(self, times: int = 1) -> None:
        for _ in range(times):
            self.client_of_watched.get("/v1/auth/me")

    def usage(self, query: str = "") -> Any:
        response = self.api.get(f"/v1/keys/{self.watched.id}/usage{query}")
        self.assertEqual(response.status_code, 200, response.content)
        return response.json()

    def test_key_usage_is_one_entry_a_day_oldest_first_with_zero_for_idle_days(self):
        self.use(2)
        self.clock.shift(2 * DAY)
        self.use()
        self.assertEqual(
            self.usage("?days=4"),
            {
                "object": "key_usage",
                "key_id": self.watched.id,
                "days": [
                    {"date": "2026-03-09", "requests": 0, "limited": 0},
                    {"date": "2026-03-10", "requests": 2, "limited": 0},
                    {"date": "2026-03-11", "requests": 0, "limited": 0},
                    {"date": "2026-03-12", "requests": 1, "limited": 0},
                ],
                "livemode": True,
            },
        )

    def test_key_usage_is_30_days_by_default_and_at_most_366(self):
        days = self.usage()["days"]
        self.assertEqual((len(days), days[0]["date"]), (30, "2026-02-09"))
        self.assertEqual(len(self.usage("?days=1")["days"]), 1)
        self.assertEqual(len(self.usage("?days=366")["days"]), 366)

    def test_key_usage_days_must_be_a_number_within_bounds(self):
        for days in ("0", "367", "-1", "1.5", "ten", "", "+5", "1e1", "9" * 20, "٣"):
            with self.subTest(days):
                response = self.api.get(f"/v1/keys/{self.watched.id}/usage", {"days": days})
                self.assertRefused(response, 400, "parameter_invalid", field="days")

    def test_key_usage_day_ends_at_midnight_utc(self):
        self.clock.move_to(datetime(2026, 3, 10, 23, 59, 59, 999_999, tzinfo=UTC))
        self.use()
        self.clock.move_to(datetime(2026, 3, 11, tzinfo=UTC))
        self.use(2)
        self.assertEqual([day["requests"] for day in self.usage("?days=2")["days"]], [1, 2])

    def test_key_usage_counts_rate_limited_requests_apart_from_the_rest(self):
        self.agree(requests_per_minute=3)
        self.use(5)
        self.clock.shift(60)
        restricted = self.issue(scopes=["tests:read"])
        for _ in range(2):
            self.assertEqual(restricted[1].get("/v1/keys/key_000000000000").status_code, 403)
        self.assertEqual(
            self.usage("?days=1")["days"], [{"date": "2026-03-10", "requests": 5, "limited": 2}]
        )
        self.clock.shift(60)
        own = restricted[1].get(f"/v1/keys/{restricted[0].id}/usage?days=1").json()["days"]
        self.assertEqual(own, [{"date": "2026-03-10", "requests": 3, "limited": 0}])

    def test_key_usage_is_shown_to_the_key_itself_and_managers_of_its_organization_and_mode(self):
        restricted_key, restricted = self.issue(scopes=["tests:read"])
        path = "/v1/keys/{}/usage"
        self.assertEqual(restricted.get(path.format(restricted_key.id)).status_code, 200)
        refused = restricted.get(path.format(self.watched.id))
        self.assertRefused(refused, 403, "insufficient_scope")
        for elsewhere in (
            self.issue(livemode=False)[1],
            self.issue(organization=self.globex)[1],
        ):
            refused = elsewhere.get(path.format(self.watched.id))
            self.assertRefused(refused, 404, "resource_not_found")


class OrganizationUsageTests(UsageTestCase):
    def use(self, meter: Meter, used: int, *, period: date, livemode: bool = True) -> None:
        Usage.objects.create(
            organization=self.acme, livemode=livemode, meter=meter, period_start=period, used=used
        )

    def usage(self, client: ApiClient | None = None) -> Any:
        response = (client or self.api).get("/v1/usage")
        self.assertEqual(response.status_code, 200, response.content)
        return response.json()

    def test_usage_answers_the_documented_fields(self):
        self.use(Meter.TESTS, 145, period=date(2026, 3, 1))
        self.use(Meter.DOMAINS, 3, period=ALWAYS)
        self.agree(requests_per_minute=2)
        for _ in range(3):
            self.issue()[1].get("/v1/auth/me")
        self.clock.shift(60)
        expected: dict[str, Any] = {
            "object": "usage",
            "period_start": "2026-03-01T00:00:00Z",
            "period_end": "2026-04-01T00:00:00Z",
            "tests": {"used": 145, "limit": 1000, "overage": 0, **APRIL},
            "domains": {"used": 3, "limit": 10},
            "api_calls": {"total": 4, "rate_limited": 1},
            "livemode": True,
        }
        answer = self.usage()
        self.assertEqual(answer, expected)
        self.assertEqual(list(answer), list(expected))

    def test_usage_needs_billing_manage(self):
        billing = self.issue(scopes=["billing:manage"])[1]
        self.assertEqual(billing.get("/v1/usage").status_code, 200)
        error = self.assertRefused(self.restricted().get("/v1/usage"), 403, "insufficient_scope")
        self.assertEqual(error["missing_scopes"], ["billing:manage"])

    def test_usage_month_begins_in_utc(self):
        self.use(Meter.TESTS, 145, period=date(2026, 3, 1))
        self.use(Meter.DOMAINS, 3, period=ALWAYS)
        self.clock.move_to(datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC))
        self.assertEqual(
            (self.usage()["tests"]["used"], self.usage()["api_calls"]["total"]), (145, 2)
        )
        self.clock.move_to(datetime(2026, 4, 1, tzinfo=UTC))
        april = self.usage()
        self.assertEqual(april["period_start"], "2026-04-01T00:00:00Z")
        self.assertEqual((april["tests"]["used"], april["domains"]["used"]), (0, 3))
        self.assertEqual(april["api_calls"]["total"], 1)
        self.clock.move_to(datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
        self.assertEqual(self.usage()["period_end"], "2027-01-01T00:00:00Z")

    def test_usage_beyond_a_lowered_limit_is_overage(self):
        self.use(Meter.TESTS, 145, period=date(2026, 3, 1))
        self.agree(tests_limit=100)
        self.assertEqual(self.usage()["tests"], {"used": 145, "limit": 100, "overage": 45, **APRIL})

    def test_usage_without_a_limit_is_null_and_has_no_overage(self):
        self.use(Meter.TESTS, 5, period=date(2026, 3, 1))
        self.agree(plan=Plan.objects.get(slug="enterprise"))
        answer = self.usage()
        self.assertEqual(answer["tests"], {"used": 5, "limit": None, "overage": 0, **APRIL})
        self.assertEqual(answer["domains"], {"used": 0, "limit": None})

    def test_usage_of_the_free_plans_tests_spans_months(self):
        self.agree(plan=Plan.objects.get(slug="free"))
        self.use(Meter.TESTS, 25, period=ALWAYS)
        self.clock.shift(60 * DAY)
        never = {"resets_at": None}
        expected = {"used": 25, "limit": 25, "overage": 0, **never}
        self.assertEqual(self.usage()["tests"], expected)
        sandbox = self.usage(self.issue(livemode=False)[1])
        self.assertEqual(sandbox["tests"], {"used": 0, "limit": None, "overage": 0, **never})

    def test_usage_is_separate_for_each_mode_and_organization(self):
        self.use(Meter.TESTS, 145, period=date(2026, 3, 1))
        self.use(Meter.TESTS, 7, period=date(2026, 3, 1), livemode=False)
        self.assertEqual(self.usage()["api_calls"]["total"], 1)
        sandbox = self.usage(self.issue(livemode=False)[1])
        self.assertEqual(sandbox["tests"], {"used": 7, "limit": None, "overage": 0, **APRIL})
        self.assertEqual((sandbox["api_calls"]["total"], sandbox["livemode"]), (1, False))
        stranger = self.usage(self.issue(organization=self.globex)[1])
        self.assertEqual((stranger["tests"]["used"], stranger["api_calls"]["total"]), (0, 1))
