"""Tests of `verify_audit` on a tampered log: it names what was done behind the triggers."""

import secrets
from collections.abc import Mapping

from django.core.management import CommandError
from django.test import override_settings

from audit.models import AuditEvent
from tests.support.tampering import (
    CHANGED,
    VerifyTestCase,
    change,
    delete,
    head,
    insert,
    renumber,
    seal_of,
    swap,
)

LAST = "it is the last event"
UNLISTED = "cannot be checked: AUDIT_KEYS does not list number 9"
OLD, NEW = (secrets.token_bytes(32) for _ in range(2))


class TamperingTests(VerifyTestCase):
    EDITS: Mapping[str, tuple[str, ...]] = {
        "action": ("'api_key.issued '",),
        "actor_type": ("'staff'",),
        "actor_id": ("''",),
        "actor_label": ("'someone else'",),
        "target_type": ("'organization'",),
        "target_id": ("'key_000000000000'",),
        "livemode": ("false", "NULL"),
        "reason": ("'x'", "' '"),
        "changes": (
            "changes - 'scopes'",
            "changes || '{\"expires_at\": [null, 0]}'",
            "'null'",
            # JSON that Python cannot read: too many digits, nested too deep.
            "('{\"x\": 1' || repeat('0', 5000) || '}')::jsonb",
            "(repeat('[', 3000) || repeat(']', 3000))::jsonb",
        ),
        "ip": ("NULL", "'127.0.0.2'", "'127.0.0.1/24'", "'::ffff:127.0.0.1'"),
        "user_agent": ("'x'",),
        "request_id": ("'x'",),
        "created_at": ("created_at + interval '1 microsecond'", "'infinity'", "'0001-01-01 BC'"),
        "seal": (
            "sha256('x')",
            "(SELECT seal FROM audit_auditevent WHERE sequence = 1 AND organization_id = ACME)",
        ),
        "seal_key_id": ("2", "9"),
    }

    def test_verify_audit_finds_an_edited_column(self):
        with override_settings(AUDIT_KEYS={1: OLD, 2: NEW}):
            self.acme = self.organization("Edited", "team")
            _, client = self.issue()
            for _ in range(2):
                client.send("/v1/keys", {"name": "CI"})
            for column, values in self.EDITS.items():
                for value in values:
                    seal = int(column == "seal")  # The next event's seal includes it.
                    said = UNLISTED if (column, value) == ("seal_key_id", "9") else CHANGED
                    for number in (3, 4):  # One in the middle, and the last.
                        with (
                            self.subTest(column, value=value, number=number),
                            self.tampered(change(number, f"{column} = {value}")),
                        ):
                            rest = self.rest(number, misfits=seal, of=4)
                            self.assertFound(
                                f"{self.event(number)}: {said}; {rest}.",
                                args=("--organization", self.acme.id),
                            )
        columns = {field.attname for field in AuditEvent._meta.concrete_fields}
        # The edits below put an event in another's place.
        self.assertEqual(columns - set(self.EDITS), {"id", "organization_id", "sequence"})

    def test_verify_audit_finds_an_edited_id(self):
        with self.tampered(change(3, "id = 'evt_forged'")):
            self.assertFound(f"{self.acme.id} event 3 (evt_forged): {CHANGED}; {self.rest(3)}.")

    def test_verify_audit_finds_an_event_moved_to_another_organization(self):
        only = ("--organization", self.acme.id)
        missing = (
            f"{self.acme.id} event 3: missing: so number 4 ({self.id_of(4)}) cannot be checked"
        )
        with self.tampered(change(3, f"organization_id = '{self.globex.id}'")):
            self.assertFound(f"{missing}; of the 2 after it, 2 fit.", args=only)
        taken = (
            "UPDATE audit_auditevent SET organization_id = ACME, sequence = 3"
            f" WHERE organization_id = '{self.globex.id}'"
        )
        with self.tampered(delete(3), taken):
            said = f"{CHANGED}; of the 3 after it, 2 fit"
            self.assertFound(f"{self.event(3)}: {said}.", args=only)

    def test_verify_audit_names_the_first_misfit_and_the_state_of_the_rest(self):
        moved = [change(3, "sequence = 1000"), *renumber(4, -1), change(999, "sequence = 6")]
        gap = "missing: so number {} ({{}}) cannot be checked"
        forged = [delete(3), change(4, "reason = 'x'")]
        for name, statements, number, what, rest in [
            ("one deleted, the next forged", forged, 3, gap.format(4), (3, 0, 6)),
            ("first deleted", [delete(1)], 1, gap.format(2), (1, 0, 6)),
            ("one deleted", [delete(3)], 3, gap.format(4), (3, 0, 6)),
            ("two deleted", [delete(3, 4)], 3, gap.format(5), (4, 0, 6)),
            ("renumbered", [delete(3), *renumber(4, -1)], 3, CHANGED, (3, 2, 5)),
            ("swapped", swap(2, 4), 2, CHANGED, (2, 3, 6)),
            ("swapped at the end", swap(5, 6), 5, CHANGED, (5, 1, 6)),
            ("moved to the end", moved, 3, CHANGED, (3, 3, 6)),
            ("inserted", [*renumber(3, 1), insert(3, like=4)], 3, CHANGED, (3, 3, 6)),
            (
                "inserted, head moved",
                [*renumber(3, 1), insert(3, like=4), head("sequence = 7")],
                3,
                CHANGED,
                (3, 4, 7),
            ),
            ("appended", [insert(7, like=6), head("sequence = 7")], 7, CHANGED, (7, 0, 7)),
        ]:
            with self.subTest(name), self.tampered(*statements):
                after, misfits, of = rest
                missing = what != CHANGED
                named = self.id_of(after + 1) if missing else self.id_of(number)
                event = f" event {number}" if missing else f" event {number} ({named})"
                told = self.rest(after + missing, misfits=misfits, of=of)
                self.assertFound(f"{self.acme.id}{event}: {what.format(named)}; {told}.")

    def test_verify_audit_finds_a_row_beyond_the_head(self):
        beyond = f"{self.acme.id}: it has more events than the 6 its head counts."
        for statements in [
            [insert(7, like=6)],
            [insert(0, like=6)],
            [insert(10**12, like=6)],
        ]:
            with self.subTest(statements), self.tampered(*statements):
                self.assertFound(beyond)

    def test_verify_audit_finds_a_repeated_number(self):
        unique = "audit_event_numbered_once"
        drop = f"ALTER TABLE audit_auditevent DROP CONSTRAINT {unique}"
        try:
            with self.tampered(drop, insert(3, like=4)), self.assertRaises(CommandError):
                self.verify("--organization", self.acme.id)
            self.assertIn(f"{self.acme.id} event", self.err.getvalue())
        finally:
            columns = "(organization_id, sequence)"
            self.tamper(f"ALTER TABLE audit_auditevent ADD CONSTRAINT {unique} UNIQUE {columns}")

    def test_verify_audit_finds_a_cut_off_tail(self):
        for last in (1, 4, 5):
            with self.subTest(last), self.tampered(delete(last + 1, 6)):
                self.assertFound(
                    f"{self.acme.id} event {last + 1}: missing: its head counts 6, so the tail was"
                    " cut off."
                )
            with (
                self.subTest(last, head="its number is turned back, its seal is not"),
                self.tampered(delete(last + 1, 6), head(f"sequence = {last}")),
            ):
                self.assertFound(f"{self.acme.id} event {last}: its head holds another seal.")
        with self.tampered(head("sequence = 1000000000000")):
            self.assertFound(
                f"{self.acme.id} event 7: missing: its head counts 1000000000000, so the tail was"
                " cut off."
            )

    def test_verify_audit_finds_a_head_turned_back_below_its_events(self):
        with self.tampered(head(f"sequence = 4, seal = {seal_of(4)}")):
            self.assertFound(f"{self.acme.id}: it has more events than the 4 its head counts.")

    def test_verify_audit_finds_a_missing_head_or_log(self):
        log = self.acme.id
        gone = "DELETE FROM audit_audithead WHERE organization_id = ACME"
        empty = "sequence = 0, seal = decode(repeat('00', 32), 'hex')"
        for statements, what in [
            ([gone], "the head of its audit log is missing"),
            ([delete(1, 6), gone], "the head of its audit log is missing"),
            (
                ["DELETE FROM accounts_organization WHERE id = ACME"],
                "its audit log exists, but the organization does not",
            ),
            (
                [delete(1, 6), head(empty)],
                "it is empty, but its first event should be the creation of the organization",
            ),
        ]:
            with self.subTest(what), self.tampered(*statements):
                self.assertFound(f"{log}: {what}.")

    def test_verify_audit_names_every_faulty_log_up_to_a_limit(self):
        with self.tampered("UPDATE audit_auditevent SET reason = 'x'"):
            self.assertFound(
                *sorted(
                    f"{event.organization_id} event 1 ({event.pk}): {CHANGED}; "
                    + (self.rest(1, misfits=5) if event.organization_id == self.acme.id else LAST)
                    + "."
                    for event in AuditEvent.objects.filter(sequence=1)
                )
            )
        for number in range(22):
            self.organization(f"More {number}", "free")
        self.tamper("DELETE FROM audit_auditevent")
        with self.assertRaisesMessage(CommandError, "Found 25 faults; the first 20 are shown."):
            self.verify()
        self.assertEqual(len(self.err.getvalue().splitlines()), 20 + 1)
