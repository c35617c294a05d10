"""Tests of `GET /v1/keys/{id}/events`: what was done to a key, with staff left unnamed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.contrib.admin.utils import quote

from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.issue import issue
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
DOCUMENTED = [
    "id",
    "object",
    "action",
    "actor",
    "target",
    "reason",
    "changes",
    "ip",
    "user_agent",
    "request_id",
    "created_at",
]


@time_machine.travel(NOW, tick=False)
class EventsTests(ApiTestCase):
    def setUp(self) -> None:
        self.root, self.api = self.issue(name="root")
        self.api.defaults["HTTP_USER_AGENT"] = "curl/8.5.0"
        self.key, self.child = self.make(self.api, scopes=["tests:read"])
        self.path = f"/v1/keys/{self.key.id}/events"

    def events(self, **query: Any) -> list[dict[str, Any]]:
        response = self.api.get(self.path, query)
        self.assertEqual(response.status_code, 200, response.content)
        self.assertEqual(list(response.json()), ["object", "data", "has_more"])
        self.assertEqual(response.json()["object"], "list")
        data: list[dict[str, Any]] = response.json()["data"]
        for event in data:
            self.assertEqual(list(event), DOCUMENTED)
        return data

    def test_key_event_says_who_did_what_from_where_and_when(self):
        self.api.delete(
            f"/v1/keys/{self.key.id}?reason=exposed", headers={"Request-Id": "order-66-66"}
        )
        revoked, issued = self.events()
        stored = AuditEvent.objects.latest("sequence")
        self.assertEqual(
            revoked,
            {
                "id": stored.id,
                "object": "event",
                "action": "api_key.revoked",
                "actor": {"type": "key", "id": self.root.id, "label": "root"},
                "target": {"type": "api_key", "id": self.key.id},
                "reason": "exposed",
                "changes": {},
                "ip": "127.0.0.1",
                "user_agent": "curl/8.5.0",
                "request_id": "order-66-66",
                "created_at": "2026-03-11T10:30:00Z",
            },
        )
        self.assertRegex(revoked["id"], r"^evt_[0-9A-Za-z]{12}$")
        self.assertIsNone(issued["reason"])
        self.assertEqual(
            issued["changes"],
            {
                "name": [None, "child"],
                "scopes": [None, ["tests:read"]],
                "expires_at": [None, None],
                "allowed_ips": [None, None],
                "max_tests_per_month": [None, None],
            },
        )

    def test_key_events_list_every_action_newest_first(self):
        path = f"/v1/keys/{self.key.id}"
        self.api.change(path, {"name": "renamed"})
        new = self.rotate(self.child, self.key)
        new.send(f"{path}/finish_rotation", {})
        self.rotate(self.api, self.key)
        helper, helping = self.make(self.api)
        self.rotate(helping, self.key)
        self.api.delete(f"/v1/keys/{helper.id}?cascade=true")
        self.api.delete(path)
        self.assertEqual(
            [event["action"].removeprefix("api_key.") for event in self.events()],
            ["revoked", "secrets_ended", "rotated", "rotated", "rotation_finished", "rotated",
             "changed", "issued"],
        )  # fmt: skip

    def test_key_events_hold_no_secret(self):
        new = self.rotate(self.child, self.key)
        text = self.api.get(self.path).content.decode()
        for client in (self.api, self.child, new):
            self.assertNotIn(client.key[16:26], text)
        self.assertIn(new.key[8:16], text)

    def test_key_event_by_staff_shows_the_action_and_no_person(self):
        browser = self.staff()
        browser.defaults["HTTP_USER_AGENT"] = "Firefox of Sam"
        url = f"/admin/apikeys/apikey/{quote(self.key.id)}/revoke/"
        why = {"category": "other", "reason": "suspicious customer"}
        browser.post(url, why, REMOTE_ADDR="203.0.113.9")
        stored = AuditEvent.objects.latest("sequence")
        self.assertEqual(
            (stored.actor_type, stored.reason, stored.ip, stored.user_agent),
            ("staff", "other: suspicious customer", "203.0.113.9", "Firefox of Sam"),
        )
        event = self.events()[0]
        self.assertEqual(event["action"], "api_key.revoked")
        self.assertEqual(event["actor"], {"type": "staff"})
        for hidden in ("reason", "ip", "user_agent"):
            self.assertIsNone(event[hidden])
        text = str(event)
        for word in ("sam", "Sam", "suspicious", "203.0.113.9", "Firefox"):
            self.assertNotIn(word, text)

    def test_key_event_by_command_or_system_shows_its_kind_only(self):
        for actor, name in [(Actor.cli(), "cli"), (Actor.system(), "system")]:
            api_key = ApiKey(organization=self.acme, name="x")
            issue(api_key, actor=actor)
            (event,) = self.api.get(f"/v1/keys/{api_key.id}/events").json()["data"]
            self.assertEqual(event["actor"], {"type": name})
            self.assertIsNone(event["user_agent"])

    def test_key_events_exclude_other_keys_and_the_organization(self):
        self.api.change(f"/v1/keys/{self.root.id}", {"name": "renamed"})
        self.acme.suspend(actor=Actor.cli(), reason="x")
        self.acme.resume(actor=Actor.cli(), reason="x")
        self.assertEqual([event["action"] for event in self.events()], ["api_key.issued"])

    def test_key_events_paged_both_ways_lose_and_repeat_nothing(self):
        for number in range(6):
            self.api.change(f"/v1/keys/{self.key.id}", {"name": f"n{number}"})
        everything = [event["id"] for event in self.events()]
        self.assertEqual(len(everything), 7)
        for limit in (1, 2, 3, 6, 7, 8):
            forwards = [event["id"] for event in self.events(limit=limit)]
            while len(page := self.events(limit=limit, starting_after=forwards[-1])) > 0:
                forwards += [event["id"] for event in page]
            self.assertEqual(forwards, everything)
            backwards = [everything[-1]]
            while len(page := self.events(limit=limit, ending_before=backwards[0])) > 0:
                backwards = [event["id"] for event in page] + backwards
            self.assertEqual(backwards, everything)
        for limit, more in [(6, True), (7, False)]:
            answer = self.api.get(self.path, {"limit": limit}).json()
            self.assertIs(answer["has_more"], more)

    def test_key_events_refuse_a_cursor_of_another_key(self):
        foreign = AuditEvent.objects.get(target_id=self.root.id).id
        for name in ("starting_after", "ending_before"):
            for cursor in (foreign, self.key.id, "evt_000000000000", "x", "", "\x00"):
                with self.subTest(f"{name}={cursor!r}"):
                    response = self.api.get(self.path, {name: cursor})
                    self.assertRefused(response, 400, "parameter_invalid", field=name)

    def test_key_events_take_list_parameters_and_no_filter(self):
        for query, code, field in [
            ("limit=0", "parameter_invalid", "limit"),
            ("limit=101", "parameter_invalid", "limit"),
            ("limit=1&limit=1", "parameter_invalid", "limit"),
            ("status=active", "parameter_unknown", "status"),
            ("action=api_key.issued", "parameter_unknown", "action"),
        ]:
            response = self.api.get(f"{self.path}?{query}")
            self.assertRefused(response, 400, code, field=field)

    def test_key_events_with_role_actor_list_what_the_key_did(self):
        caller = self.api.get("/v1/auth/me").json()["key_id"]
        child, _ = self.make(self.api)
        path = self.path.replace(self.key.id, caller)
        done = self.api.get(f"{path}?role=actor&limit=1").json()["data"]
        self.assertEqual(
            [(event["action"], event["target"]["id"]) for event in done],
            [("api_key.issued", child.id)],
        )
        response = self.api.get(path, {"role": "owner"})
        self.assertRefused(response, 400, "parameter_invalid", field="role")

    def test_key_events_take_the_same_queries_for_any_number(self):
        for number in range(5):
            self.api.change(f"/v1/keys/{self.key.id}", {"name": f"n{number}"})
        for limit in (1, 100):
            with self.assertNumQueries(3):  # Caller, key, events.
                self.api.get(self.path, {"limit": limit})


class PermissionTests(ApiTestCase):
    def test_key_events_need_a_managing_key_of_the_same_organization_and_mode(self):
        api_key, _ = self.issue()
        own, restricted = self.issue(scopes=list(ALL_SCOPES[:-1]))
        path = f"/v1/keys/{api_key.id}/events"
        self.assertEqual(self.issue()[1].get(path).status_code, 200)
        self.assertRefused(restricted.get(path), 403, "insufficient_scope")
        self.assertRefused(restricted.get(f"/v1/keys/{own.id}/events"), 403, "insufficient_scope")
        for fields in ({"livemode": False}, {"organization": self.globex}):
            _, client = self.issue(**fields)
            self.assertRefused(client.get(path), 404, "resource_not_found")

    def test_key_events_of_a_revoked_or_expired_key_are_still_listed(self):
        _, api = self.issue()
        api_key, _ = self.issue(expires_at=datetime.now(UTC) + timedelta(hours=1))
        path = f"/v1/keys/{api_key.id}"
        api.delete(path)
        with time_machine.travel(datetime.now(UTC) + timedelta(days=1), tick=False):
            events = api.get(f"{path}/events").json()["data"]
        self.assertEqual([e["action"] for e in events], ["api_key.revoked", "api_key.issued"])
