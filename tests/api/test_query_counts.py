"""Pinned query counts of every hot path: an added query fails here."""

from datetime import UTC, datetime, timedelta

import time_machine
from django.test import Client, override_settings

from accounts.models import Plan
from apikeys.plaintext import new_plaintext
from audit.actor import Actor
from tests.support.cast import ApiClient, ApiTestCase

NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)


@override_settings(ROOT_URLCONF="tests.sibling.service")
class QueryCountTests(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.api_key, self.api = self.issue()

    def assertQueries(self, number: int, status: int, path: str, client: Client) -> None:
        with self.subTest(path), self.assertNumQueries(number):
            response = client.get(path)
        self.assertEqual(response.status_code, status, response.content)

    def test_malformed_key_costs_no_query_and_an_unknown_one_a_single_read(self):
        self.assertQueries(0, 401, "/v1/auth/me", Client())
        self.assertQueries(0, 401, "/v1/auth/me", ApiClient("nonsense"))
        self.assertQueries(0, 401, "/v1/auth/me", ApiClient(self.api.key[:-1] + "!"))
        for _ in range(2):
            unknown = ApiClient(new_plaintext(livemode=True))
            self.assertQueries(1, 401, "/v1/auth/me", unknown)

    def test_request_refused_before_its_view_queries_costs_one_query(self):
        path = "/v1/auth/me?nope=1"  # Refused after authentication, before the view.
        self.assertQueries(2, 400, path, self.api)
        self.assertQueries(1, 400, path, self.api)

    def test_last_use_costs_one_more_query_once_per_minute(self):
        self.api.get("/v1/auth/me")
        self.assertQueries(1, 200, "/v1/auth/me", self.api)
        self.clock.shift(60)
        self.assertQueries(2, 200, "/v1/auth/me", self.api)
        self.assertQueries(1, 200, "/v1/auth/me", self.api)

    def test_scope_use_costs_one_more_query_once_per_day(self):
        page = 2  # Authentication, and the page of tests.
        self.api.get("/v1/tests")
        self.assertQueries(page, 200, "/v1/tests", self.api)
        self.clock.shift(timedelta(days=1))
        self.api.get("/v1/auth/me")  # Writes last use, and exercises no scope.
        self.assertQueries(page + 1, 200, "/v1/tests", self.api)
        self.assertQueries(page, 200, "/v1/tests", self.api)

    def test_auth_me_costs_one_query_in_either_mode_and_on_any_plan(self):
        self.acme.change_plan(
            actor=Actor.cli(),
            reason="test",
            plan=Plan.objects.get(slug="enterprise"),
            requests_per_minute=None,
        )
        for client in (self.api, self.issue(livemode=False)[1]):
            client.get("/v1/auth/me")
            self.assertQueries(1, 200, "/v1/auth/me", client)

    def test_rate_limited_or_simulated_request_costs_the_one_query_of_authentication(self):
        sandbox = self.issue(livemode=False)[1]
        sandbox.get("/v1/auth/me")
        with self.assertNumQueries(1):
            self.assertEqual(sandbox.simulate("internal_error").status_code, 500)
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=0)
        self.assertQueries(1, 429, "/v1/auth/me", sandbox)
        self.assertQueries(1, 429, "/v1/tests", sandbox)

    def test_read_endpoints_cost_a_fixed_number_of_queries_for_any_number_of_keys(self):
        for path, number in (
            ("/v1/usage", 2),
            (f"/v1/keys/{self.api_key.id}", 4),
            (f"/v1/keys/{self.api_key.id}/usage?days=366", 3),
            ("/v1/keys", 4),
            ("/v1/keys?over_privileged=true", 2),
        ):
            self.api.get(path)
            self.assertQueries(number, 200, path, self.api)
            for _ in range(3):
                self.issue()
            self.assertQueries(number, 200, path, self.api)

    def test_create_costs_twelve_queries_and_six_more_with_an_idempotency_key(self):
        self.api.send("/v1/keys", {"name": "x"})  # Writes the scope use of the day.
        for headers, number in (({}, 12), ({"Idempotency-Key": "t-1"}, 18)):
            with self.assertNumQueries(number):
                response = self.api.send("/v1/keys", {"name": "x"}, **headers)
            self.assertEqual(response.status_code, 201, response.content)
