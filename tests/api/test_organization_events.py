"""Tests of `GET /v1/events`: an organization's events in one list, as a key's are shown."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Plan
from apikeys.models import ApiKey
from apikeys.verbs.change import change
from audit.actor import Actor
from audit.models import AuditEvent
from notices.contacts import change_contacts
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.committed import as_owner

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
PATH = "/v1/events"


class EventsTestCase(ApiTestCase):
    def events(self, client: ApiClient, **query: Any) -> list[dict[str, Any]]:
        response = client.get(PATH, {"limit": 100, **query})
        self.assertEqual(response.status_code, 200, response.content)
        self.assertEqual(list(response.json()), ["object", "data", "has_more"])
        data: list[dict[str, Any]] = response.json()["data"]
        return data

    def told(self, client: ApiClient, **query: Any) -> list[str]:
        """Return the actions shown, newest first, with the name of each target's key."""
        names = dict(ApiKey.objects.values_list("pk", "name"))
        found = [(event["action"], event["target"]["id"]) for event in self.events(client, **query)]
        return [f"{done} {names.get(target, '')}".strip() for done, target in found]


class OrganizationEventsTests(EventsTestCase):
    def setUp(self) -> None:
        self.root, self.api = self.issue(name="root")
        self.sandbox_key, self.sandbox = self.issue(name="sandbox", livemode=False)

    def test_events_are_the_objects_that_the_events_of_a_key_are(self):
        self.make(self.api, name="made")
        made = ApiKey.objects.get(name="made")
        self.api.delete(f"/v1/keys/{made.id}?reason=leaked")
        of_key = self.api.get(f"/v1/keys/{made.id}/events").json()["data"]
        self.assertEqual([event["reason"] for event in of_key], ["leaked", None])
        self.assertEqual(self.events(self.api, key=made.id), of_key)
        self.assertEqual(self.events(self.api)[:2], of_key)

    def test_each_mode_sees_its_own_keys_and_live_keys_what_has_no_mode(self):
        make, _ = self.make(self.sandbox, name="made in sandbox")
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.acme.resume(actor=Actor.cli(), reason="paid")
        self.acme.change_plan(actor=Actor.cli(), reason="x", plan=Plan.objects.get(slug="business"))
        self.issue(organization=self.globex, name="theirs")
        in_sandbox = ["api_key.issued made in sandbox", "api_key.issued sandbox"]
        self.assertEqual(self.told(self.sandbox), in_sandbox)
        live = ["organization.plan_changed", "organization.resumed", "organization.suspended",
                "api_key.issued root", "organization.created"]  # fmt: skip
        self.assertEqual(self.told(self.api), live)
        plan = self.events(self.api)[0]
        self.assertEqual(plan["changes"], {"plan": ["team", "business"]})
        self.assertEqual(plan["target"], {"type": "organization", "id": self.acme.id})
        for of_sandbox in (make.id, self.sandbox_key.id):
            self.assertEqual(self.events(self.api, key=of_sandbox), [])
            self.assertEqual(self.events(self.api, actor=of_sandbox), [])
        self.assertEqual(self.events(self.sandbox, actor="cli", action="organization.resumed"), [])

    def test_contact_address_is_shown_shortened(self):
        email = "security@acme.example"
        change_contacts(self.acme, actor=Actor.cli(), contacts=[email])
        change_contacts(self.acme, actor=Actor.cli(), contacts=[])
        changes = [event["changes"]["contacts"] for event in self.events(self.api)[:2]]
        self.assertEqual(changes, [[["s…@acme.example"], []], [[], ["s…@acme.example"]]])
        self.assertNotIn(email, self.api.get(PATH).content.decode())

    def test_event_by_staff_shows_no_name_reason_address_or_agent(self):
        browser = self.staff()
        browser.defaults["HTTP_USER_AGENT"] = "Firefox of Sam"
        page = f"/admin/accounts/organization/{self.acme.id.replace('_', '_5F')}/suspend/"
        browser.post(page, {"reason": "suspected fraud"}, REMOTE_ADDR="203.0.113.9")
        self.acme.resume(actor=Actor.staff(self.sam), reason="it was no fraud")
        # An export by staff is an event of the organization's log, with words of theirs.
        query = f"?organization={self.acme.id}&q=fraud"
        browser.post(f"/admin/audit/auditevent/export/{query}", {"format": "csv"})
        exported = AuditEvent.objects.get(action="audit_log.exported")
        self.assertEqual(exported.organization_id, self.acme.id)
        resumed, suspended = self.events(self.api)[:2]
        for event, action in ((resumed, "resumed"), (suspended, "suspended")):
            self.assertEqual(event["action"], f"organization.{action}")
            self.assertEqual(event["actor"], {"type": "staff"})
            self.assertEqual([event[n] for n in ("reason", "ip", "user_agent")], [None] * 3)
        everything = self.api.get(f"{PATH}?limit=100").content.decode()
        for hidden in ("sam", "Sam", "fraud", "203.0.113.9", "Firefox", "exported"):
            self.assertNotIn(hidden, everything)
        self.assertEqual(self.events(self.api, action="audit_log.exported"), [])

    def test_events_of_a_revoked_or_expired_key_are_still_shown(self):
        key, client = self.make(self.api, name="gone")
        self.make(client, name="made by gone")
        self.api.delete(f"/v1/keys/{key.id}")
        self.assertEqual(
            self.told(self.api, key=key.id), ["api_key.revoked gone", "api_key.issued gone"]
        )
        self.assertEqual(self.told(self.api, actor=key.id), ["api_key.issued made by gone"])
        self.assertEqual(self.told(self.api, actor=key.id, key=key.id), [])

    def test_events_hold_no_secret(self):
        _, client = self.make(self.api)
        text = self.api.get(f"{PATH}?limit=100").content.decode()
        for holder in (self.api, client):
            self.assertNotIn(holder.key[16:26], text)

    def test_events_take_an_unrestricted_key(self):
        self.assertRefused(self.restricted().get(PATH), 403, "insufficient_scope")
        self.assertRefused(self.restricted().get(f"{PATH}?zzz=1"), 403, "insufficient_scope")


@time_machine.travel(NOW, tick=False)
class FilterTests(EventsTestCase):
    def setUp(self) -> None:
        with time_machine.travel(NOW - timedelta(hours=2), tick=False):
            self.root, self.api = self.issue(name="root")
        with time_machine.travel(NOW - timedelta(hours=1), tick=False):
            self.child, self.helper = self.make(self.api, name="child")
            change(self.child, actor=Actor.staff(self.sam), name="renamed")
        self.grandchild, _ = self.make(self.helper, name="grandchild")

    def test_filters_leave_the_events_that_pass_all_of_them(self):
        root, child = self.root.id, self.child.id
        issued, changed = "api_key.issued", "api_key.changed"
        hour = {n: (NOW - timedelta(hours=n)).strftime("%Y-%m-%dT%H:%M:%SZ") for n in (0, 1, 2)}
        for query, expected in [
            ({"action": changed}, ["changed renamed"]),
            ({"action": issued}, ["issued grandchild", "issued renamed", "issued root"]),
            ({"key": child}, ["changed renamed", "issued renamed"]),
            ({"actor": root}, ["issued renamed"]),
            ({"actor": child}, ["issued grandchild"]),
            ({"actor": "staff"}, ["changed renamed"]),
            ({"actor": "cli", "action": issued}, ["issued root"]),
            ({"actor": "system"}, []),
            ({"actor": root, "key": child}, ["issued renamed"]),
            ({"actor": root, "action": changed}, []),
            ({"since": hour[0], "action": issued}, ["issued grandchild"]),
            ({"since": hour[1], "until": hour[0]}, ["changed renamed", "issued renamed"]),
            ({"since": hour[1], "until": hour[1]}, []),
            ({"until": hour[1], "action": issued}, ["issued root"]),
            ({"since": "2026-03-11T12:30:00+02:00", "actor": child}, ["issued grandchild"]),
            ({"key": "key_000000000000"}, []),
            ({"key": child, "actor": "key_000000000000"}, []),
            ({"action": "api_key.devoured"}, []),
        ]:
            with self.subTest(query):
                found = [line.removeprefix("api_key.") for line in self.told(self.api, **query)]
                self.assertEqual(found, expected)

    def test_key_of_another_organization_is_found_in_no_event(self):
        theirs, globex = self.issue(organization=self.globex)
        made, _ = self.make(globex)
        for name, id_ in itertools.product(("key", "actor"), (theirs.id, made.id)):
            self.assertEqual(self.events(self.api, **{name: id_}), [])

    def test_malformed_filters_are_refused_all_at_once(self):
        for name, values in {
            "action": ("", "issued", "api_key", "API_KEY.ISSUED", "a.b.c", "a" * 60 + ".b", "\x00"),
            "actor": (
                "",
                "sam",
                "1",
                "key",
                "scanner:github",
                "staff:sam",
                self.acme.id,
                "key_1",
                "\x00",
            ),
            "since": ("", "now", "2026-03-11", "2026-03-11T10:30:00", "0000-01-01T00:00:00Z"),
            "until": ("1", "2026-02-30T00:00:00Z", "2026-03-11 10:30:00Z"),
            "starting_after": ("key_000000000000", self.root.id, "evt_000000000000", "x"),
        }.items():
            for value in values:
                with self.subTest(f"{name}={value!r}"):
                    response = self.api.get(PATH, {name: value})
                    self.assertRefused(response, 400, "parameter_invalid", field=name)
        error = self.assertRefused(
            self.api.get(f"{PATH}?since=x&actor=y&role=actor&limit=0"),
            400, "parameter_unknown", field="role",
        )  # fmt: skip
        self.assertEqual([e["field"] for e in error["errors"]], ["role", "limit", "actor", "since"])

    def test_filter_by_key_takes_an_id_and_refuses_a_key(self):
        for value in (self.api.key, self.api.key[:30], "", "x", "key_", "key_0000000000_0"):
            with self.subTest(value):
                response = self.api.get(PATH, {"key": value})
                self.assertRefused(response, 400, "api_key_in_url", field="key")
        twice = self.api.get(f"{PATH}?key={self.child.id}&key={self.child.id}")
        self.assertRefused(twice, 400, "parameter_invalid", field="key")

    def test_events_paged_both_ways_lose_and_repeat_nothing(self):
        for number in range(5):
            self.api.change(f"/v1/keys/{self.child.id}", {"name": f"n{number}"})
        for query in ({}, {"key": self.child.id}, {"action": "api_key.changed"}):
            everything = [event["id"] for event in self.events(self.api, **query)]
            for limit in (1, 2, 3, 100):
                forwards = [event["id"] for event in self.events(self.api, limit=limit, **query)]
                while page := self.events(
                    self.api, limit=limit, starting_after=forwards[-1], **query
                ):
                    forwards += [event["id"] for event in page]
                self.assertEqual(forwards, everything)
                backwards = [everything[-1]]
                while page := self.events(
                    self.api, limit=limit, ending_before=backwards[0], **query
                ):
                    backwards = [event["id"] for event in page] + backwards
                self.assertEqual(backwards, everything)

    def test_cursor_of_the_other_mode_or_organization_is_refused(self):
        for fields in ({"livemode": False}, {"organization": self.globex}):
            key, _ = self.issue(**fields)
            event = AuditEvent.objects.get(target_id=key.id)
            for name in ("starting_after", "ending_before"):
                response = self.api.get(PATH, {name: event.pk})
                self.assertRefused(response, 400, "parameter_invalid", field=name)


# In SQL, because the models would take a minute. Of four organizations; of each, half of the events
# are one key's and the other half another's.
STORE_EVENTS = """
    INSERT INTO audit_auditevent (
           id, organization_id, sequence, action, actor_type, actor_id, actor_label, target_type,
           target_id, livemode, reason, changes, user_agent, request_id, created_at, seal_key_id,
           seal)
    SELECT 'evt_' || lpad(n::text, 12, '0'),
           (ARRAY[%(organization)s, 'org_x', 'org_y', 'org_z'])[1 + n / 2 %% 4], 1000 + n,
           (ARRAY['api_key.issued', 'api_key.changed'])[1 + n %% 2], 'key',
           (ARRAY[%(one)s, %(other)s])[1 + n %% 2], 'x', 'api_key',
           'key_' || lpad(n::text, 12, '0'), TRUE, '', '{}', '', '',
           now() - (20000 - n) * interval '1 second', 1, sha256(int8send(n))
      FROM generate_series(1, 20000) n
"""


class CostTests(EventsTestCase):
    """20,000 events of live mode; the plans are those of a million."""

    api: ApiClient
    sandbox: ApiClient
    one: ApiKey
    other: ApiKey

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        case = cls()
        cls.one, cls.api = case.issue()
        cls.other, _ = case.issue()
        cls.sandbox = case.issue(livemode=False)[1]
        ids = {"organization": cls.acme.id, "one": cls.one.id, "other": cls.other.id}
        with connection.cursor() as cursor:
            cursor.execute(STORE_EVENTS, ids)
        with as_owner() as cursor:
            cursor.execute("ANALYZE audit_auditevent")
        for client in (cls.api, cls.sandbox):
            client.get(PATH)  # The first use writes.

    def scans(self, client: ApiClient, query: str) -> list[dict[str, Any]]:
        """Return the nodes of PostgreSQL's plan of the page that read the table."""
        with CaptureQueriesContext(connection) as queries:
            self.assertEqual(client.get(f"{PATH}?{query}").status_code, 200)
        (sql,) = (q["sql"] for q in queries if q["sql"].endswith("LIMIT 21"))
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + sql)
            nodes = [cursor.fetchone()[0][0]["Plan"]]
        self.assertLess(nodes[0]["Shared Hit Blocks"], 60)
        for node in nodes:
            nodes += node.get("Plans", [])
        return [node for node in nodes if "Scan" in node["Node Type"]]

    def test_events_are_read_from_an_index_and_a_filter_that_matches_nothing_reads_nothing(self):
        one, other = self.one.id, self.other.id
        early, late = "2001-01-01T00:00:00Z", "2031-01-01T00:00:00Z"
        for client, query, index in [
            (self.api, "", "live"),
            (self.api, f"until={late}", "live"),
            (self.api, "action=api_key.issued", "live_action"),
            (self.api, f"actor={one}", "actor"),
            (self.api, f"actor={one}&action=api_key.changed", "actor_action"),
            (self.api, f"actor={other}&action=api_key.issued", "actor_action"),
            (self.api, f"key={one}&actor={other}", "target"),
            (self.sandbox, "", "test"),
            (self.sandbox, "action=api_key.issued", "test_action"),
            # Nothing matches; PostgreSQL has a choice of indexes.
            (self.api, f"since={late}", ""),
            (self.api, f"until={early}", ""),
            (self.api, "action=api_key.devoured", ""),
            (self.api, f"action=api_key.issued&since={late}", ""),
            (self.api, f"actor={one}&until={early}", ""),
            (self.api, "actor=staff", ""),
            (self.api, "actor=staff&action=api_key.issued", ""),
            (self.sandbox, "actor=staff", ""),
        ]:
            with self.subTest(f"{query or 'all'} by {index or 'any'}"):
                scans = self.scans(client, query)
                self.assertNotIn("Seq Scan", [scan["Node Type"] for scan in scans])
                removed = [scan.get("Rows Removed by Filter", 0) for scan in scans]
                self.assertLess(max(removed), 20)
                if index:
                    names = [scan.get("Index Name") for scan in scans]
                    self.assertEqual(names, [f"audit_event_{index}"])

    def test_events_cost_the_same_queries_for_any_number_and_none_beyond_an_unknown_key(self):
        for query, number in [
            ("limit=1", 2),
            ("limit=100", 2),
            ("limit=100&starting_after=evt_000000008000", 3),
            (f"actor={self.one.id}&key={self.other.id}", 3),
            ("actor=key_000000000000", 2),
        ]:
            with self.subTest(query), self.assertNumQueries(number):
                self.api.get(f"{PATH}?{query}")
        # A key of the other mode would be read to its last event, if it were not looked up first.
        with CaptureQueriesContext(connection) as queries:
            self.assertEqual(self.events(self.sandbox, actor=self.one.id), [])
        self.assertFalse([q for q in queries if "audit_auditevent" in q["sql"]])
