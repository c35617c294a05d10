"""Statements that tamper with the audit log past its triggers, and what verify_audit says then.

The statements are about Acme's events; `ACME` stands for its quoted id.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import CommandError, call_command

from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.committed import CommittedTestCase, as_owner

AUDIT_TABLES = ("audit_auditevent", "audit_audithead")
TABLES = (*AUDIT_TABLES, "accounts_organization")
CHANGED = "does not fit its seal"


class VerifyTestCase(CommittedTestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(5):
            verb = self.acme.resume if number % 2 else self.acme.suspend
            verb(actor=Actor.staff(self.sam), reason=f"reason {number}")

    def verify(self, *args: str, err: io.StringIO | None = None) -> str:
        """Run verify_audit; return its stdout."""
        out, self.err = io.StringIO(), err or io.StringIO()
        call_command("verify_audit", *args, stdout=out, stderr=self.err)
        return out.getvalue()

    def assertFound(self, *lines: str, args: tuple[str, ...] = ()) -> None:
        """Check that verify_audit fails and prints exactly these lines."""
        with self.assertRaises(CommandError) as caught:
            self.verify(*args)
        *found, checked = self.err.getvalue().splitlines()
        self.assertEqual(found, list(lines))
        self.assertTrue(checked.startswith("Checked "))
        faults = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
        self.assertEqual(str(caught.exception), f"Found {faults}.")

    def event(self, number: int) -> str:
        """Return `org_… event 3 (evt_…)` of one of Acme's events."""
        return f"{self.acme.id} event {number} ({self.id_of(number)})"

    def rest(self, after: int, *, misfits: int = 0, of: int = 6) -> str:
        """Return the text about Acme's events after number `after`, of which there are `of`."""
        if of == after:
            return "it is the last event"
        return f"of the {of - after} after it, {of - after - misfits} fit"

    def id_of(self, number: int) -> str:
        found = AuditEvent.objects.filter(organization_id=self.acme.id, sequence=number)
        return found.values_list("pk", flat=True).get()

    @contextmanager
    def tampered(self, *statements: str) -> Iterator[None]:
        """Run statements as the owner with the triggers disabled; restore everything afterwards."""
        with as_owner() as cursor:
            for table in TABLES:
                cursor.execute(f"CREATE TEMP TABLE {table}_before AS TABLE {table}")
        try:
            self.tamper(*statements)
            yield
        finally:
            with as_owner() as cursor:
                cursor.execute("SET LOCAL session_replication_role = replica")
                for table in TABLES:
                    cursor.execute(f"DELETE FROM {table}")
                    cursor.execute(f"INSERT INTO {table} SELECT * FROM {table}_before")
                    cursor.execute(f"DROP TABLE {table}_before")

    def tamper(self, *statements: str) -> None:
        """Run statements as the owner with the triggers disabled; nothing is restored."""
        with as_owner() as cursor:
            for table in AUDIT_TABLES:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for statement in statements:
                cursor.execute(statement.replace("ACME", f"'{self.acme.id}'"))
            for table in AUDIT_TABLES:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def change(number: int, what: str) -> str:
    """Return the statement that sets columns of one of Acme's events."""
    row = f"organization_id = ACME AND sequence = {number}"
    return f"UPDATE audit_auditevent SET {what} WHERE {row}"


def renumber(first: int, by: int) -> list[str]:
    """Return two statements that renumber Acme's events from `first` on without a collision."""
    move = "UPDATE audit_auditevent SET sequence = sequence"
    acme = "WHERE organization_id = ACME AND sequence >="
    return [f"{move} + 1000 {acme} {first}", f"{move} - {1000 - by} {acme} 1000"]


def swap(one: int, other: int) -> list[str]:
    return [
        change(one, "sequence = 1000"),
        change(other, f"sequence = {one}"),
        change(1000, f"sequence = {other}"),
    ]


def delete(first: int, last: int | None = None) -> str:
    return (
        "DELETE FROM audit_auditevent WHERE organization_id = ACME"
        f" AND sequence BETWEEN {first} AND {last or first}"
    )


def insert(number: int, like: int) -> str:
    """Return the statement that adds an event in which all but the seal is plausible."""
    columns = [c for c in AuditEvent.sealed_columns() if c not in ("id", "sequence")]
    names = ", ".join(columns)
    return (
        f"INSERT INTO audit_auditevent (id, sequence, seal, {names})"
        f" SELECT 'evt_forged', {number}, sha256('forged'), {names} FROM audit_auditevent"
        f" WHERE organization_id = ACME AND sequence = {like}"
    )


def head(what: str) -> str:
    return f"UPDATE audit_audithead SET {what} WHERE organization_id = ACME"


def seal_of(number: int) -> str:
    return (
        f"(SELECT seal FROM audit_auditevent WHERE organization_id = ACME AND sequence = {number})"
    )
