"""`verify_audit` finds, and names, whatever was done to the audit log behind its triggers."""

import secrets
from collections.abc import Mapping

from django.core.management import CommandError
from django.test import override_settings

from accounts.models import AuditEvent
from tests.tampering import (
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
            # What Python would not read: too many digits, nested too deep.
            "('{\"x\": 1' || repeat('0', 5000) || '}')::jsonb",
            "(repeat('[', 3000) || repeat(']', 3000))::jsonb",
        ),
        "ip": ("NULL", "'127.0.0.2'", "'127.0.0.1/24'", "'::ffff:127.0.0.1'"),
        "user_agent": ("'x'",),
        "request_id": ("'x'",),
        "created_at": ("created_at + interval '1 microsecond'", "'infinity'", "'0001-01-01 BC'"),
        "seal": (
            "sha256('x')",
            "(SELECT seal FROM accounts_auditevent WHERE sequence = 1 AND organization_id = ACME)",
        ),
        "seal_key_id": ("2", "9"),
    }

    def test_an_edited_column(self):
        with override_settings(AUDIT_KEYS={1: OLD, 2: NEW}):
            self.acme = self.organization("Edited", "team")
            _, client = self.issue()
            for _ in range(2):
                client.send("/v1/keys", {"name": "CI"})
            for column, values in self.EDITS.items():
                for value in values:
                    for number in (3, 4):  # One in the middle, and the last.
                        with (
                            self.subTest(column, value=value, number=number),
                            self.tampered(change(number, f"{column} = {value}")),
                        ):
                            self.assertFound(
                                f"{self.event(number)}: {CHANGED}.",
                                args=("--organization", self.acme.id),
                            )
        columns = {field.attname for field in AuditEvent._meta.concrete_fields}
        # Those below put an event in another's place.
        self.assertEqual(columns - set(self.EDITS), {"id", "organization_id", "sequence"})

    def test_an_edited_id(self):
        with self.tampered(change(3, "id = 'evt_forged'")):
            self.assertFound(f"{self.acme.id} event 3 (evt_forged): {CHANGED}.")

    def test_an_event_given_to_another_organization(self):
        only = ("--organization", self.acme.id)
        with self.tampered(change(3, f"organization_id = '{self.globex.id}'")):
            self.assertFound(
                f"{self.acme.id} event 3: missing: number 4 ({self.id_of(4)}) is the next.",
                args=only,
            )
        taken = (
            "UPDATE accounts_auditevent SET organization_id = ACME, sequence = 3"
            f" WHERE organization_id = '{self.globex.id}'"
        )
        with self.tampered(delete(3), taken):
            self.assertFound(f"{self.event(3)}: {CHANGED}.", args=only)

    def test_a_deleted_row(self):
        for numbers, first in [((1,), 1), ((3,), 3), ((3, 4), 3)]:
            with self.subTest(numbers), self.tampered(delete(*numbers)):
                following = self.event(numbers[-1] + 1)
                named = following.partition("(")[2].rstrip(")")
                self.assertFound(
                    f"{self.acme.id} event {first}: missing: number {numbers[-1] + 1} ({named}) is"
                    " the next."
                )

    def test_a_deleted_row_whose_followers_were_renumbered(self):
        for moved in ([], [head("sequence = 5")]):
            with self.subTest(moved), self.tampered(delete(3), *renumber(4, -1), *moved):
                named = AuditEvent.objects.get(organization_id=self.acme.id, sequence=3).pk
                self.assertFound(
                    f"{self.acme.id} event 3: missing: the rest was renumbered, beginning with"
                    f" {named}."
                )

    def test_two_swapped_rows(self):
        for one, other in [(1, 2), (1, 6), (2, 4), (3, 4), (5, 6)]:
            with self.subTest((one, other)), self.tampered(*swap(one, other)):
                self.assertFound(
                    f"{self.event(one)}: out of order: the event that belongs here stands as"
                    f" number {other}."
                )

    def test_rows_moved_round(self):
        third = self.event(3)
        for number in (7, 99):
            with self.tampered(change(3, f"sequence = {number}")):
                self.assertFound(f"{third}: out of order: it stands as number {number}.")
        for numbers in [(3, 4, 5), (5, 4, 3), (2, 6, 4)]:
            *steps, last = numbers
            moves = [change(last, "sequence = 1000")]
            for place, number in zip(numbers[:0:-1], steps[::-1], strict=True):
                moves.append(change(number, f"sequence = {place}"))
            moves.append(change(1000, f"sequence = {numbers[0]}"))
            first = min(numbers)
            with self.subTest(numbers), self.tampered(*moves):
                due = dict(zip(numbers, [*steps[1:], last, numbers[0]], strict=True))[first]
                self.assertFound(
                    f"{self.event(first)}: out of order: the event that belongs here stands as"
                    f" number {due}."
                )

    def test_a_row_inserted_in_between(self):
        for place in (1, 3, 6):
            for moved in ([], [head("sequence = 7")]):
                with (
                    self.subTest(place, moved=moved),
                    self.tampered(*renumber(place, 1), insert(place, like=place + 1), *moved),
                ):
                    self.assertFound(
                        f"{self.acme.id} event {place} (evt_forged): inserted: the event that"
                        f" belongs here stands as number {place + 1}."
                    )

    def test_a_row_inserted_at_the_end(self):
        forged = f"{self.acme.id} event 7 (evt_forged)"
        with self.tampered(insert(7, like=6)):
            self.assertFound(f"{forged}: inserted: the head counts 6 only.")
        with self.tampered(insert(7, like=6), head("sequence = 7")):
            self.assertFound(f"{forged}: inserted: the head holds the seal of the event before.")
        with self.tampered(insert(7, like=6), head(f"sequence = 7, seal = {seal_of(7)}")):
            self.assertFound(f"{forged}: {CHANGED}.")

    def test_a_tail_cut_off(self):
        for last in (1, 4, 5):
            with self.subTest(last), self.tampered(delete(last + 1, 6)):
                self.assertFound(
                    f"{self.acme.id} event {last + 1}: missing: the head counts 6, so the tail was"
                    " cut off."
                )
            with (
                self.subTest(last, head="its number is turned back, its seal is not"),
                self.tampered(delete(last + 1, 6), head(f"sequence = {last}")),
            ):
                self.assertFound(
                    f"{self.event(last)}: changed: the head holds another seal, so one of the two"
                    " is not what was written."
                )

    def test_a_head_turned_back_under_its_events(self):
        with self.tampered(head(f"sequence = 4, seal = {seal_of(4)}")):
            self.assertFound(
                f"{self.event(5)}: genuine, but the head counts 4 only: it was turned back."
            )

    def test_a_log_that_is_not_whole(self):
        log = self.acme.id
        with self.tampered("DELETE FROM accounts_audithead WHERE organization_id = ACME"):
            self.assertFound(f"{log}: the head of its audit log is missing.")
        with self.tampered("DELETE FROM accounts_organization WHERE id = ACME"):
            self.assertFound(f"{log}: its audit log is there, and the organization is not.")
        with self.tampered(
            delete(1, 6), head("sequence = 0, seal = decode(repeat('00', 32), 'hex')")
        ):
            self.assertFound(
                f"{log} event 1: missing: a log begins with its organization, and this one is"
                " empty."
            )
        with self.tampered(
            delete(1, 6), "DELETE FROM accounts_audithead WHERE organization_id = ACME"
        ):
            self.assertFound(f"{log}: the head of its audit log is missing.")

    def test_every_log_with_a_fault_is_named_as_far_as_people_read(self):
        with self.tampered("UPDATE accounts_auditevent SET reason = 'x'"):
            self.assertFound(
                *sorted(
                    f"{event.organization_id} event 1 ({event.pk}): {CHANGED}."
                    for event in AuditEvent.objects.filter(sequence=1)
                )
            )
        for number in range(22):
            self.organization(f"More {number}", "free")
        self.tamper("DELETE FROM accounts_auditevent")
        with self.assertRaisesMessage(CommandError, "\n… and 5 more chains."):
            self.verify()
