"""Tests of scope use: which scopes a key exercises, so that unused ones can be removed."""

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
class ScopeUseTestCase(ApiTestCase):
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


class ExerciseTests(ScopeUseTestCase):
    def test_reading_exercises_the_read_scope_and_writing_the_write_scope(self):
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

    def test_refused_call_exercises_no_scope(self):
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

    def test_managing_keys_exercises_all_scopes(self):
        for manage in (
            lambda client: client.get("/v1/keys"),
            lambda client: client.send("/v1/keys", {"name": "x"}),
            lambda client: client.get(f"/v1/keys/{self.manager_key.id}"),
            lambda client: client.get(f"/v1/keys/{self.manager_key.id}/events"),
            lambda client: client.get("/v1/events"),
            lambda client: client.change(f"/v1/keys/{self.manager_key.id}", {"name": "y"}),
            lambda client: client.send(f"/v1/keys/{self.issue()[0].id}/rotate", {}),
            lambda client: client.delete(f"/v1/keys/{self.issue()[0].id}?cascade=true"),
        ):
            api_key, client = self.issue()
            self.assertLess(manage(client).status_code, 300)
            self.assertExercised(api_key, list(ALL_SCOPES))

    def test_refused_managing_call_exercises_no_scope(self):
        api_key, client = self.issue()
        self.assertEqual(client.send("/v1/keys", {"scope": []}).status_code, 400)
        self.assertEqual(client.get("/v1/keys/key_000000000000").status_code, 404)
        self.assertExercised(api_key, [])

    def test_call_open_to_every_key_exercises_no_scope(self):
        api_key, client = self.issue()
        for path in ("/v1/auth/me", f"/v1/keys/{api_key.id}", f"/v1/keys/{api_key.id}/usage"):
            self.assertEqual(client.get(path).status_code, 200)
        self.assertExercised(api_key, [])

    def test_simulated_call_exercises_no_scope(self):
        manager = self.issue(livemode=False)[1]
        api_key, client = self.issue(livemode=False)
        client.simulate("internal_error", "/v1/tests")
        shown = manager.get(f"/v1/keys/{api_key.id}").json()
        self.assertEqual(set(shown["scope_usage"].values()), {None})

    def test_scope_use_is_written_once_per_utc_day(self):
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

    def test_scope_use_dated_in_an_implausible_future_is_replaced(self):
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


class UnusedScopeTests(ScopeUseTestCase):
    def test_scope_granted_30_days_ago_and_never_exercised_is_unused(self):
        api_key, client = self.issue(name="Import", scopes=["tests:read", "tests:write"])
        client.get("/v1/tests")
        self.clock.move_to(NOON + 30 * DAY - timedelta(seconds=1))
        self.assertEqual(self.shown(api_key)["unused_scopes"], [])
        self.clock.move_to(NOON + 30 * DAY)
        self.assertEqual(self.shown(api_key)["unused_scopes"], ["tests:write"])
        client.send("/v1/tests", {"subject": "x"})
        self.assertEqual(self.shown(api_key)["unused_scopes"], [])

    def test_over_privileged_filter_finds_keys_with_and_without_unused_scopes(self):
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

    def test_scope_removed_and_granted_again_starts_as_never_exercised(self):
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

    def test_change_of_another_field_keeps_the_scope_grants(self):
        api_key, client = self.issue(name="Import", scopes=["tests:read", "tests:write"])
        client.get("/v1/tests")
        self.clock.shift(30 * DAY)
        self.manager.change(f"/v1/keys/{api_key.id}", {"name": "x", "max_tests_per_month": 5})
        self.manager.send(f"/v1/keys/{api_key.id}/rotate", {})
        shown = self.shown(api_key)
        self.assertEqual(shown["scope_usage"], {"tests:read": TODAY, "tests:write": None})
        self.assertEqual(shown["unused_scopes"], ["tests:write"])

    def test_scope_usage_is_shown_in_get_and_list(self):
        api_key, _ = self.issue(scopes=[Scope.TESTS_READ])
        self.assertEqual(self.shown(api_key)["scope_usage"], {"tests:read": None})
        listed = {key["id"]: key for key in self.manager.get("/v1/keys").json()["data"]}
        self.assertEqual(listed[api_key.id]["scope_usage"], {"tests:read": None})
