"""Tests of the audit log in the admin: its list, search, filters and export."""

import csv
import json
from datetime import timedelta
from unittest import mock

from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys.verbs.change import change
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import SERVICE, AuditEvent, AuditHead, AuditLog
from staff.audit import export as audit_export
from staff.audit.export import defused
from tests.staff.test_admin import KEYS, AdminTestCase, page_of
from tests.support.cast import Answer

EVENTS = "/admin/audit/auditevent/"


class AuditTestCase(AdminTestCase):
    def setUp(self) -> None:
        super().setUp()
        AuditHead.objects.get_or_create(pk=SERVICE)

    def listed(self, **query: str) -> list[str]:
        response = self.browser.get(EVENTS, query)
        self.assertEqual(response.status_code, 200)
        return [event.action for event in response.context["cl"].result_list]

    def export(self, form: str, query: str = "") -> list[str]:
        """Return the lines of an export."""
        response: Answer = self.browser.post(f"{EVENTS}export/?{query}", {"format": form})
        self.assertEqual(response.status_code, 200)
        self.assertIn("no-store", response["Cache-Control"])
        self.assertIn(f'.{form}"', response["Content-Disposition"])
        return b"".join(response.streaming_content).decode().splitlines()


class ListTests(AuditTestCase):
    def test_event_list_shows_changes_as_before_and_after_escaped(self):
        api_key, _ = self.issue(scopes=["tests:read", "tests:write"])
        change(api_key, actor=Actor.cli(), scopes=["tests:read"], reason="<b>fewer</b>")
        page = self.browser.get(EVENTS).content.decode()
        self.assertIn(
            "<bdi>tests:read, tests:write</bdi></del> → <ins><bdi>tests:read</bdi></ins>", page
        )
        self.assertIn("&lt;b&gt;fewer&lt;/b&gt;", page)
        named = f'<a href="{page_of(KEYS, api_key.id)}">{api_key.id}</a> <bdi>{api_key.name}</bdi>'
        self.assertIn(named, page)
        event = AuditEvent.objects.get(action="api_key.changed")
        self.assertContains(self.browser.get(page_of(EVENTS, event.id)), bytes(event.seal).hex())

    def test_event_list_filters_by_action_actor_organization_and_day(self):
        api_key, client = self.issue()
        client.send("/v1/keys", {"name": "Child"})
        revoke(api_key, actor=Actor.staff(self.sam), reason="unused")
        self.issue(organization=self.globex)
        today = timezone.now().date()
        self.assertEqual(self.listed(action="api_key.revoked"), ["api_key.revoked"])
        self.assertEqual(self.listed(actor="key"), ["api_key.issued"])
        self.assertEqual(self.listed(actor="staff"), ["api_key.revoked"])
        self.assertEqual(len(self.listed(organization=self.globex.id)), 2)
        self.assertEqual(len(self.listed(since=f"{today}", until=f"{today}")), 7)
        self.assertEqual(self.listed(until=f"{today - timedelta(days=1)}"), [])
        self.assertEqual(self.listed(since=f"{today + timedelta(days=1)}"), [])
        self.assertEqual(self.listed(actor="key", organization=self.globex.id), [])
        self.assertContains(self.browser.get(EVENTS, {"since": "gestern"}), "Enter a valid date")

    def test_event_action_filter_offers_every_action_that_occurred(self):
        self.issue()
        self.assertEqual(
            AuditEvent.actions(), ["api_key.issued", "organization.created", "staff.created"]
        )

    def test_event_about_staff_names_them_and_one_about_a_group_does_not(self):
        group = Group(pk=self.sam.pk, name="Night shift")  # The same number.
        with AuditLog.of(SERVICE) as audit:
            audit.record("staff.changed", self.sam, actor=Actor.cli())
            audit.record("group.created", group, actor=Actor.cli())
        named = f"{self.sam.pk} <bdi>sam</bdi>"
        self.assertContains(self.browser.get(EVENTS, {"action": "staff.changed"}), named)
        self.assertNotContains(self.browser.get(EVENTS, {"action": "group.created"}), named)

    def test_event_search_finds_ids_addresses_requests_names_and_words(self):
        api_key, client = self.issue()
        client.send("/v1/keys", {"name": "Child"})
        why = {"category": "left", "reason": "moved to Mars"}
        self.browser.post(page_of(KEYS, api_key.id, "revoke"), why)
        event = AuditEvent.objects.get(action="api_key.revoked")
        by_key = AuditEvent.objects.get(actor_type="key")
        for q, actions in [
            (api_key.id, ["api_key.revoked", "api_key.issued"]),
            (event.id, ["api_key.revoked"]),
            (self.globex.id, ["organization.created"]),
            (by_key.request_id, ["api_key.issued"]),
            ("127.0.0.1", ["api_key.revoked", "api_key.issued"]),
            ("192.0.2.1", []),
            ("to mars", ["api_key.revoked"]),
            ("sam", ["api_key.revoked"]),
            ("nothing", []),
        ]:
            with self.subTest(q):
                self.assertEqual(self.listed(q=q), actions)

    def test_event_list_takes_under_ten_queries_and_counts_nothing(self):
        for _ in range(20):
            self.issue()
        with CaptureQueriesContext(connection) as queries:
            self.browser.get(EVENTS, {"organization": self.acme.id, "q": "x", "actor": "cli"})
        self.assertLess(len(queries), 10)
        self.assertNotIn("COUNT(", str(queries.captured_queries).upper())


class ExportTests(AuditTestCase):
    def test_csv_export_holds_what_the_list_finds_and_no_formula(self):
        api_key, _ = self.issue(name='=HYPERLINK("http://evil.example")')
        revoke(api_key, actor=Actor.staff(self.sam), reason="=1+1")
        rows = list(csv.DictReader(self.export("csv", f"organization={self.acme.id}")))
        actions = [row["action"] for row in rows]
        self.assertEqual(actions, ["api_key.revoked", "api_key.issued", "organization.created"])
        self.assertEqual(rows[0]["reason"], "'=1+1")
        self.assertEqual(json.loads(rows[1]["changes"])["scopes"][0], None)
        for row in rows:
            for cell in row.values():
                self.assertFalse(cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell)

    def test_csv_cell_beginning_like_a_formula_is_quoted(self):
        for beginning in "=+-@＝＋－＠\t\r\n":
            self.assertEqual(defused(f"{beginning}1"), f"'{beginning}1")
        self.assertEqual([defused(v) for v in (None, 5, "a=b")], ["", "5", "a=b"])

    def test_json_lines_export_holds_every_column(self):
        self.issue()
        lines = [json.loads(line) for line in self.export("jsonl", "action=api_key.issued")]
        self.assertEqual(len(lines), 1)
        event = AuditEvent.objects.get(action="api_key.issued")
        self.assertEqual(lines[0]["id"], event.id)
        self.assertEqual(lines[0]["changes"], event.changes)
        self.assertEqual(lines[0]["seal"], bytes(event.seal).hex())

    def test_export_streams_all_events_in_batches(self):
        for _ in range(7):
            self.issue()
        with mock.patch.object(audit_export, "AT_A_TIME", 3):
            lines = [json.loads(line) for line in self.export("jsonl")]
        self.assertEqual(len(lines), len({line["id"] for line in lines}))
        self.assertEqual(len(lines), 3 + 7)

    def test_export_is_an_event_of_the_filtered_organization_or_the_service(self):
        self.export("csv", f"organization={self.acme.id}&action=api_key.issued")
        event = AuditEvent.objects.get(action="audit_log.exported")
        self.assertEqual((event.organization_id, event.actor_label), (self.acme.id, "sam"))
        self.assertEqual(
            event.changes["filters"][1],
            {"organization": self.acme.id, "action": "api_key.issued"},
        )
        for query in ("", "organization=org_nowhere00000"):
            self.export("jsonl", query)
        exports = AuditEvent.objects.filter(organization_id=SERVICE, action=event.action)
        self.assertEqual(exports.count(), 2)

    def test_export_needs_its_own_permission_a_known_format_and_post(self):
        looker = self.colleague("view_auditevent")
        self.assertNotContains(looker.get(EVENTS), "JSON Lines")
        self.assertEqual(looker.post(f"{EVENTS}export/", {"format": "csv"}).status_code, 403)
        for answer in (
            self.browser.get(f"{EVENTS}export/", {"format": "csv"}),
            self.browser.post(f"{EVENTS}export/", {"format": "xml"}),
        ):
            self.assertEqual(answer.status_code, 302)
        self.assertFalse(AuditEvent.objects.filter(action="audit_log.exported").exists())
