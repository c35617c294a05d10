"""Tests of the partitions of docs/scale.md: its statements are run, in a test's transaction."""

import io
import re
from contextlib import suppress
from datetime import UTC, datetime

import time_machine
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from apikeys.models import KeyDay
from audit.models import AuditEvent
from tests.support.cast import ApiTestCase
from tests.support.committed import as_owner
from tests.support.demo_server import ROOT

MONTHS, LATE, EVENTS, _ = (
    re.sub(r"^ *(BEGIN|COMMIT);\n", "", block, flags=re.MULTILINE)
    for block in re.findall(
        r"^ *```sql\n(.*?)```", (ROOT / "docs" / "scale.md").read_text(), re.MULTILINE | re.DOTALL
    )
)


def run(statements: str) -> None:
    with as_owner() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statements)
        # In production, deploy/roles.sql lets the owner's new tables be used.
        cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO reachscore_app")


def rows_by_table(model: "type[KeyDay | AuditEvent]") -> dict[str, int]:
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(model._meta.db_table)
        cursor.execute(f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1")
        return dict(cursor.fetchall())


class PartitionTests(ApiTestCase):
    def test_requests_are_counted_by_month_and_in_default_without_a_partition(self):
        _, client = self.issue()

        def call(year: int, month: int, day: int) -> None:
            with time_machine.travel(datetime(year, month, day, tzinfo=UTC), tick=False):
                for _ in range(2):
                    self.assertEqual(client.get("/v1/auth/me").status_code, 200)

        for month in (9, 10, 11):
            call(2026, month, 30)
        run(MONTHS)
        for date in ((2026, 11, 30), (2026, 12, 1), (2026, 12, 31), (2027, 1, 2), (2027, 2, 1)):
            call(*date)
        before, december = "apikeys_keyday_before", "apikeys_keyday_2026_12"
        default, january = "apikeys_keyday_default", "apikeys_keyday_2027_01"
        self.assertEqual(rows_by_table(KeyDay), {before: 3, december: 2, default: 2})
        run(LATE)
        call(2027, 1, 2)
        self.assertEqual(rows_by_table(KeyDay), {before: 3, december: 2, january: 1, default: 1})
        requests = KeyDay.objects.order_by("day").values_list("requests", flat=True)
        self.assertEqual(list(requests), [2, 2, 4, 2, 2, 4, 2])
        with time_machine.travel(datetime(2027, 12, 1, tzinfo=UTC), tick=False):
            call_command("forget", stdout=io.StringIO())
        self.assertEqual(rows_by_table(KeyDay), {before: 1, december: 2, january: 1, default: 1})

    def test_audit_log_in_partitions_keeps_its_seals_and_its_guard(self):
        for name in "abcdefgh":
            self.organization(name, "free")
        heads = self.verify()[0]
        run(EVENTS)
        after, faults = self.verify()
        self.assertEqual(after, heads)
        guard = "audit_auditevent audit_event_append_only: this trigger of the table is missing"
        self.assertEqual(faults, [f"{guard} or disabled."])

        _, client = self.issue()
        self.assertEqual(client.send("/v1/keys", {"name": "CI"}).status_code, 201)
        tables = rows_by_table(AuditEvent)
        self.assertGreater(len(tables), 1)
        for table in ("audit_auditevent", *tables):
            for statement in ("UPDATE {} SET reason = ''", "DELETE FROM {}", "TRUNCATE {}"):
                refused = self.assertRaisesMessage(DatabaseError, "The audit log is append-only.")
                with refused, transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(statement.format(table))
        self.assertEqual(self.verify()[1], faults)

    def verify(self) -> tuple[list[str], list[str]]:
        """Return the heads and the faults that verify_audit prints."""
        out, err = io.StringIO(), io.StringIO()
        with suppress(CommandError):
            call_command("verify_audit", stdout=out, stderr=err)
        return out.getvalue().splitlines(), err.getvalue().splitlines()[:-1]
