"""Which scopes a key really exercises, so that the others can be taken away."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from apikeys.authentication import scope_use
from apikeys.models import ApiKey, ScopeGrant
from apikeys.scopes import ALL_SCOPES, Scope
from audit.actor import Actor
from tests.support.cast import ApiClient, ApiTestCase

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TODAY = "2026-03-10"


@override_settings(ROOT_URLCONF="tests.sibling.service")
class ScopeUseTests(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.manager_key, self.manager = self.issue(name="Manager")

    def shown(self, api_key: ApiKey) -> Any:
        return self.manager.get(f"/v1/keys/{api_key.id}").json()

    def assertExercised(self, api_key: ApiKey, scopes: list[str], *, day: str = TODAY) -> None:
        used = self.shown(api_key)["scope_usage"]
        self.assertEqual([scope for scope, last in used.items() if last == day], scopes)

    def over_privileged(self, wanted: str) -> list[str]:
        page = self.manager.get(f"/v1/keys?over_privileged={wanted}").json()
        return sorted(key["name"] for key in page["data"])


class ExerciseTests(ScopeUseTests):
    def test_reading_exercises_the_reading_scope_and_writing_the_writing_one(self):
        api_key, client = self.issue(scopes=["tests:read", "tests:write", "billing:manage"])
        self.assertEqual(
            self.shown(api_key)["scope_usage"],
            {"tests:read": None, "tests:write": None, "billing:manage": None},
        )
        client.get("/v1/tests")
        self.assertExercised(api_key, ["tests:read"])
        client.send("/v1/tests", {"subject": "x"})
        self.assertExercised(api_key, ["tests:read", "tests:write"])
        client.get("/v1/usage")
        self.assertExercised(api_key, ["tests:read", "tests:write", "billing:manage"])

    def test_a_refused_call_exercises_nothing(self):
        api_key, client = self.issue(scopes=["tests:read", "tests:write"])
        self.acme.change_plan(actor=Actor.cli(), reason="test", tests_limit=0)
        self.assertEqual(client.get("/v1/tests?page=2").status_code, 400)
        self.assertEqual(client.send("/v1/tests", {}).status_code, 400)
        self.assertEqual(client.send("/v1/tests", {"subject": "x"}).status_code, 403)
        self.assertEqual(client.send("/v1/domains", {"name": "a.example"}).status_code, 403)
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=0)
        self.assertEqual(client.get("/v1/tests").status_code, 429)
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=1000)
        self.assertExercised(api_key, [])

    def test_managing_keys_exercises_all_eight(self):
        for manage in (
            lambda client: client.get("/v1/keys"),
            lambda client: client.send("/v1/keys", {"name": "x"}),
            lambda client: client.get(f"/v1/keys/{self.manager_key.id}"),
            lambda client: client.get(f"/v1/keys/{self.manager_key.id}/events"),
            lambda client: client.change(f"/v1/keys/{self.manager_key.id}", {"name": "y"}),
            lambda client: client.send(f"/v1/keys/{self.issue()[0].id}/rotate", {}),
            lambda client: client.delete(f"/v1/keys/{self.issue()[0].id}?cascade=true"),
        ):
            api_key, client = self.issue()
            self.assertLess(manage(client).status_code, 300)
            self.assertExercised(api_key, list(ALL_SCOPES))

    def test_a_managing_call_that_is_refused_exercises_none(self):
        api_key, client = self.issue()
        self.assertEqual(client.send("/v1/keys", {"scope": []}).status_code, 400)
        self.assertEqual(client.get("/v1/keys/key_000000000000").status_code, 404)
        self.assertExercised(api_key, [])

    def test_what_every_key_may_do_exercises_none(self):
        api_key, client = self.issue()
        for path in ("/v1/auth/me", f"/v1/keys/{api_key.id}", f"/v1/keys/{api_key.id}/usage"):
            self.assertEqual(client.get(path).status_code, 200)
        self.assertExercised(api_key, [])

    def test_a_simulated_call_exercises_none(self):
        manager = self.issue(livemode=False)[1]
        api_key, client = self.issue(livemode=False)
        client.simulate("internal_error", "/v1/tests")
        shown = manager.get(f"/v1/keys/{api_key.id}").json()
        self.assertEqual(set(shown["scope_usage"].values()), {None})

    def test_the_day_is_utcs_and_a_second_use_of_it_writes_nothing(self):
        api_key, client = self.issue(scopes=["tests:read"])
        self.clock.move_to(datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC))
        self.assertEqual(self.writes(client), 1)
        self.assertEqual(self.writes(client), 0)
        self.assertExercised(api_key, ["tests:read"])
        self.clock.move_to(datetime(2026, 3, 11, tzinfo=UTC))
        self.assertEqual(self.writes(client), 1)
        self.assertEqual(self.writes(client), 0)
        self.assertExercised(api_key, ["tests:read"], day="2026-03-11")

        self.clock.move_to(NOON)  # A clock that is behind.
        client.get("/v1/tests")
        self.assertExercised(api_key, ["tests:read"], day="2026-03-11")

    def test_a_day_that_no_right_clock_wrote_is_replaced(self):
        api_key, client = self.issue(scopes=["tests:read"])
        for ahead, day in ((1, "2026-03-11"), (2, TODAY)):
            ScopeGrant.objects.update(last_exercised_on=NOON.date() + ahead * DAY)
            scope_use._noted.clear()
            client.get("/v1/tests")
            self.assertExercised(api_key, ["tests:read"], day=day)

    def writes(self, client: ApiClient) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            self.assertEqual(client.get("/v1/tests").status_code, 200)
        return sum("apikeys_scopegrant" in query["sql"] for query in queries)


class UnusedScopeTests(ScopeUseTests):
    def test_a_scope_granted_30_days_ago_and_never_exercised_is_unused(self):
        api_key, client = self.issue(name="Import", scopes=["tests:read", "tests:write"])
        client.get("/v1/tests")
        self.clock.move_to(NOON + 30 * DAY - timedelta(seconds=1))
        self.assertEqual(self.shown(api_key)["unused_scopes"], [])
        self.clock.move_to(NOON + 30 * DAY)
        self.assertEqual(self.shown(api_key)["unused_scopes"], ["tests:write"])
        client.send("/v1/tests", {"subject": "x"})
        self.assertEqual(self.shown(api_key)["unused_scopes"], [])

    def test_keys_with_unused_scopes_can_be_found_and_those_without(self):
        self.issue(name="Idle", scopes=["tests:read"])
        busy = self.issue(name="Busy", scopes=["tests:read"])[1]
        busy.get("/v1/tests")
        self.manager.get("/v1/keys")
        self.assertEqual(self.over_privileged("true"), [])
        self.clock.shift(30 * DAY)
        self.issue(name="New", scopes=["tests:read"])
        self.assertEqual(self.over_privileged("true"), ["Idle"])
        self.assertEqual(self.over_privileged("false"), ["Busy", "Manager", "New"])
        refused = self.manager.get("/v1/keys?over_privileged=yes")
        self.assertRefused(refused, 400, "parameter_invalid", field="over_privileged")

    def test_a_scope_taken_away_and_granted_anew_starts_anew(self):
        api_key, client = self.issue(name="Import", scopes=["tests:read", "tests:write"])
        client.send("/v1/tests", {"subject": "x"})
        path = f"/v1/keys/{api_key.id}"
        self.clock.shift(40 * DAY)
        self.assertEqual(self.shown(api_key)["unused_scopes"], ["tests:read"])

        self.manager.change(path, {"scopes": ["tests:read"]})
        self.assertEqual(self.shown(api_key)["scope_usage"], {"tests:read": None})
        self.manager.change(path, {"scopes": ["tests:read", "tests:write"]})
        shown = self.shown(api_key)
        self.assertEqual(shown["scope_usage"], {"tests:read": None, "tests:write": None})
        self.assertEqual(shown["unused_scopes"], ["tests:read"])
        self.clock.shift(30 * DAY)
        self.assertEqual(self.shown(api_key)["unused_scopes"], ["tests:read", "tests:write"])

    def test_a_change_of_anything_else_leaves_the_grants_as_they_are(self):
        api_key, client = self.issue(name="Import", scopes=["tests:read", "tests:write"])
        client.get("/v1/tests")
        self.clock.shift(30 * DAY)
        self.manager.change(f"/v1/keys/{api_key.id}", {"name": "x", "max_tests_per_month": 5})
        self.manager.send(f"/v1/keys/{api_key.id}/rotate", {})
        shown = self.shown(api_key)
        self.assertEqual(shown["scope_usage"], {"tests:read": TODAY, "tests:write": None})
        self.assertEqual(shown["unused_scopes"], ["tests:write"])

    def test_is_shown_wherever_a_key_is_shown(self):
        api_key, _ = self.issue(scopes=[Scope.TESTS_READ])
        self.assertEqual(self.shown(api_key)["scope_usage"], {"tests:read": None})
        listed = {key["id"]: key for key in self.manager.get("/v1/keys").json()["data"]}
        self.assertEqual(listed[api_key.id]["scope_usage"], {"tests:read": None})
