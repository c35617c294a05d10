"""Tests of the audit log: who did what from where, append-only."""

from datetime import UTC, datetime
from importlib import import_module

from django.contrib.admin.utils import quote
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from audit.actor import Actor
from audit.models import LISTED, AuditEvent, AuditHead, AuditLog
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.committed import as_owner

APPEND_ONLY = "The audit log is append-only."
ONE_STEP = "The head of an audit log moves one event forward at a time."


class AppendOnlyTests(ApiTestCase):
    def refused(self, sql: str, message: str, error: type[Exception] = IntegrityError) -> None:
        with (
            self.subTest(sql),
            self.assertRaisesMessage(error, message),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)

    def test_runtime_role_cannot_change_or_delete_an_event(self):
        self.refused("UPDATE audit_auditevent SET reason = 'x'", APPEND_ONLY)
        self.refused("UPDATE audit_auditevent SET reason = 'x' WHERE false", APPEND_ONLY)
        self.refused("DELETE FROM audit_auditevent", APPEND_ONLY)
        self.refused("DELETE FROM audit_audithead", APPEND_ONLY)
        for table in ("audit_auditevent", "audit_audithead"):
            self.refused(f"TRUNCATE {table}", "permission denied", ProgrammingError)

    def test_owner_cannot_change_or_delete_an_event_while_the_triggers_exist(self):
        with as_owner():
            for table in ("audit_auditevent", "audit_audithead"):
                self.refused(f"DELETE FROM {table}", APPEND_ONLY)
                self.refused(f"TRUNCATE {table}", APPEND_ONLY)
            self.refused("UPDATE audit_auditevent SET reason = 'x'", APPEND_ONLY)
            self.refused("UPDATE audit_audithead SET sequence = 0", ONE_STEP)

    def test_upsert_on_an_event_is_refused(self):
        self.refused(
            "INSERT INTO audit_auditevent SELECT * FROM audit_auditevent"
            " ON CONFLICT (id) DO UPDATE SET reason = 'x'",
            APPEND_ONLY,
        )

    def test_runtime_role_cannot_disable_or_drop_the_triggers(self):
        for sql in (
            "ALTER TABLE audit_auditevent DISABLE TRIGGER USER",
            "DROP TRIGGER audit_event_append_only ON audit_auditevent",
            "DROP FUNCTION audit_append_only CASCADE",
            "DROP TABLE audit_auditevent",
        ):
            self.refused(sql, "must be owner", ProgrammingError)
        self.refused(
            "CREATE TRIGGER z BEFORE INSERT ON audit_auditevent"
            " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "permission denied",
            ProgrammingError,
        )
        self.refused(
            "SET session_replication_role = replica", "permission denied", ProgrammingError
        )

    def test_audit_head_moves_forward_by_one_event_only(self):
        for change in ("sequence = 0", "seal = sha256('x')", "sequence = sequence + 2"):
            self.refused(f"UPDATE audit_audithead SET {change}", ONE_STEP)
        self.refused("UPDATE audit_audithead SET organization_id = 'org_x'", ONE_STEP)
        AuditHead.objects.filter(pk=self.acme.pk).update(sequence=2)

    def test_trigger_migration_can_be_reversed_and_applied_again(self):
        migration = import_module("audit.migrations.0002_append_only")
        with as_owner() as cursor:
            cursor.execute(migration.DROP_TRIGGERS)
            cursor.execute("DELETE FROM audit_auditevent WHERE false")
            cursor.execute(migration.ADD_TRIGGERS)
        self.refused("DELETE FROM audit_auditevent", APPEND_ONLY)


class OriginTests(ApiTestCase):
    def made(self, client: ApiClient) -> AuditEvent:
        answer = client.send("/v1/keys", {"name": "CI"}).json()
        return AuditEvent.objects.get(target_id=answer["id"])

    def test_audit_event_has_the_address_the_trusted_proxies_name(self):
        _, client = self.issue()
        client.defaults["HTTP_X_FORWARDED_FOR"] = "6.6.6.6, 192.0.2.7, 2001:db8::0:1"
        for proxies, address in [
            (0, "127.0.0.1"),
            (1, "2001:db8::1"),
            (2, "192.0.2.7"),
            (4, None),
        ]:
            with self.subTest(proxies), override_settings(TRUSTED_PROXY_COUNT=proxies):
                self.assertEqual(self.made(client).ip, address)

    def test_audit_event_has_the_user_agent_cut_cleaned_and_redacted(self):
        _, client = self.issue()
        for sent, kept in [
            ("curl/8.5.0", "curl/8.5.0"),
            ("a\x07b\u200bc", "abc"),
            (f"agent {client.key}", f"agent {client.key[:16]}_[redacted]"),
            ("x" * 5000, "x" * 200),
            ("", "(not readable)"),  # So the server hands over “Müller/2”.
            ("\x07", "(not readable)"),
        ]:
            client.defaults["HTTP_USER_AGENT"] = sent
            with self.subTest(sent):
                self.assertEqual(self.made(client).user_agent, kept)

    def test_audit_event_by_staff_has_an_origin_and_one_by_command_or_system_has_none(self):
        browser = self.staff()
        browser.defaults["HTTP_USER_AGENT"] = "Firefox"
        url = f"/admin/accounts/organization/{quote(self.acme.id)}/suspend/"
        browser.post(url, {"reason": "unpaid"})
        # The request was answered in this thread, so its origin is still the current one.
        self.acme.resume(actor=Actor.cli(), reason="paid")
        self.acme.suspend(actor=Actor.system(), reason="unpaid")

        events = AuditEvent.objects.filter(organization_id=self.acme.id).order_by("sequence")

        self.assertEqual(
            [(e.actor_type, e.ip, e.user_agent) for e in events],
            [
                ("cli", None, ""),
                ("staff", "127.0.0.1", "Firefox"),
                ("cli", None, ""),
                ("system", None, ""),
            ],
        )

    def test_staff_can_view_every_column_of_an_event_and_change_none(self):
        _, client = self.issue()
        client.defaults["HTTP_USER_AGENT"] = "curl/8.5.0"
        event = self.made(client)
        page = f"/admin/audit/auditevent/{quote(event.pk)}/change/"

        shown = self.staff().get(page).content.decode()

        for text in ("127.0.0.1", "curl/8.5.0", bytes(event.seal).hex(), event.request_id):
            self.assertIn(text, shown)
        self.assertEqual(self.staff().post(page, {"reason": "x"}).status_code, 403)
        found = self.staff().get("/admin/audit/auditevent/", {"q": "127.0.0.1"})
        self.assertContains(found, event.target_id)


STORED = [field.attname for field in AuditEvent._meta.concrete_fields]
VARIED = ("id", "sequence", "target_id")


class RecordTests(ApiTestCase):
    def test_audit_event_costs_one_update_of_the_head_and_one_insert(self):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        statements = [q["sql"] for q in queries if "audit_audit" in q["sql"]]
        self.assertEqual([sql.split()[0] for sql in statements], ["SELECT", "UPDATE", "INSERT"])

    def test_audit_events_of_a_target_are_read_from_an_index_newest_first(self):
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        template = AuditEvent.objects.latest("sequence")
        columns = {name: getattr(template, name) for name in STORED if name not in VARIED}
        AuditEvent.objects.bulk_create(
            AuditEvent(**columns, sequence=1000 + n, target_id=f"key_{n % 100}")
            for n in range(2000)
        )
        found = AuditEvent.objects.filter(organization_id=self.acme.id, target_id="key_7")
        with as_owner() as cursor:
            cursor.execute("ANALYZE audit_auditevent")
            cursor.execute("SET LOCAL enable_bitmapscan = off")  # As dear, for twenty rows.
            plan = found.order_by(*LISTED)[:20].explain()
        self.assertIn("audit_event_target", plan)
        self.assertNotIn("Sort", plan)

    def test_seal_must_be_32_bytes(self):
        for table in (AuditEvent, AuditHead):
            with self.assertRaisesMessage(IntegrityError, "seal_is_sha_256"), transaction.atomic():
                table.objects.create(
                    organization_id="org_x",
                    sequence=1,
                    seal=b"short",
                    **({"seal_key_id": 1} if table is AuditEvent else {}),
                )

    def test_changes_that_would_read_back_differently_are_refused(self):
        for value in (1.5, 1e22, -0.0, float("nan"), datetime.now(UTC), {1, 2}, b"x"):
            with (
                self.subTest(value),
                self.assertRaises(TypeError),
                AuditLog.of(self.acme.id) as audit,
            ):
                audit.record(
                    "organization.changed",
                    self.acme,
                    actor=Actor.cli(),
                    changes={"x": (None, [value])},
                )
        self.assertEqual(AuditHead.objects.get(pk=self.acme.pk).sequence, 1)
