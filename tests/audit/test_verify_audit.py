"""Tests of `verify_audit` on a sound log: it raises no false alarm, even during writes."""

import io
import secrets
import tempfile
import time
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from unittest import mock

from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from accounts.models import Organization
from apikeys.models import ApiKey
from audit.actor import Actor
from audit.models import AuditEvent, AuditHead, AuditLog
from audit.seals import GENESIS
from audit.verify import fits
from tests.support.committed import as_owner, in_threads
from tests.support.tampering import VerifyTestCase

OLD, NEW = (secrets.token_bytes(32) for _ in range(2))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class SoundTests(VerifyTestCase):
    def test_verify_audit_prints_each_head_and_counts_what_it_checked(self):
        printed = self.verify()
        self.assertEqual(
            printed.splitlines(),
            [
                f"{head.pk} {head.sequence} {bytes(head.seal).hex()}"
                for head in AuditHead.objects.order_by("pk")
            ],
        )
        self.assertEqual(self.err.getvalue(), "Checked 8 events in 3 chains.\n")

    def test_verify_audit_takes_one_organization_alone(self):
        with self.tampered("DELETE FROM audit_auditevent WHERE organization_id <> ACME"):
            printed = self.verify("--organization", self.acme.id)
            self.assertEqual(self.err.getvalue(), "Checked 6 events in 1 chain.\n")
        self.assertRegex(printed, rf"\A{self.acme.id} 6 [0-9a-f]{{64}}\n\Z")
        for unknown in ("org_nothing00000", ""):
            with self.assertRaisesMessage(CommandError, "There is no organization with this id"):
                self.verify("--organization", unknown)

    def test_verify_audit_shows_progress_on_a_terminal_only(self):
        printed = self.verify(err=Terminal())
        self.assertIn("1 of 8", self.err.getvalue())
        self.assertNotIn("\r", printed)
        self.verify()
        self.assertNotIn("of 7", self.err.getvalue())

    def test_verify_audit_goes_on_after_an_organization(self):
        heads = self.verify().splitlines()
        ids = [head.partition(" ")[0] for head in heads]
        self.assertEqual(ids[-1], "service")
        kept = Path(self.enterContext(tempfile.TemporaryDirectory()), "heads")
        # The first and the last: the service's log is there, and this organization's is not.
        for gone, found in [("org_0000", ids[:-1]), ("zz_gone", ids)]:
            kept.write_text("\n".join([*heads, f"{gone} 1 {'0' * 64}"]))
            for number, after in enumerate(ids):
                with self.subTest(gone=gone, after=after):
                    args = ("--after", after, "--expect", str(kept))
                    if after in found and gone > after:
                        missing = f"{gone}: its head was kept, but the audit log is gone."
                        self.assertFound(missing, args=args)
                    else:
                        self.assertEqual(self.verify(*args).splitlines(), heads[number + 1 :])
        with self.assertRaisesMessage(CommandError, "not allowed with argument"):
            self.verify("--after", self.acme.id, "--organization", self.acme.id)

    def test_verify_audit_reads_no_more_at_once_than_a_page(self):
        heads, read = self.verify(), []

        def note(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if "audit_auditevent" in sql:
                read.append(context["cursor"].rowcount)
            return result

        for size in (1, 2, 5):
            read.clear()
            with mock.patch("audit.verify.AT_A_TIME", size), connection.execute_wrapper(note):
                self.assertEqual(self.verify(), heads)
            self.assertEqual(self.err.getvalue(), "Checked 8 events in 3 chains.\n")
            self.assertEqual(max(read), size)

    def test_verify_audit_accepts_every_awkward_value(self):
        awkward: list[Any] = [
            "",
            "é, é and \u202e",
            "🔑",
            '"quoted\\" \t\n',
            None,
            True,
            0,
            -1,
            10**30,
            [[], [[]], {}, {"": {"": None}}],
            ("a", ("b",)),
            {"b": 1, "a": 2, "ä": 3, "B": 4},
            "x" * 20_000,
        ]
        with AuditLog.of(self.acme.id) as audit:
            for number, value in enumerate(awkward):
                audit.record(
                    "organization.changed",
                    [self.acme, ApiKey(livemode=True), ApiKey(livemode=False)][number % 3],
                    actor=Actor.staff(self.sam),
                    reason=str(value)[:200],
                    changes={"field": (None, value), "é": (value, awkward)},
                )
        self.verify()

    def test_verify_audit_accepts_every_spelling_of_an_address(self):
        _, client = self.issue(organization=self.globex)
        for address in ("192.0.2.7", "::", "::1.2.3.4", "::ffff:1.2.3.4", "2001:DB8::0:1", "no"):
            client.defaults["REMOTE_ADDR"] = address
            self.assertEqual(client.send("/v1/keys", {"name": "CI"}).status_code, 201)
        self.verify()
        found = AuditEvent.objects.filter(actor_type="key").order_by("sequence")
        self.assertEqual(
            list(found.values_list("ip", flat=True)),
            ["192.0.2.7", "::", "::1.2.3.4", "1.2.3.4", "2001:db8::1", None],
        )

    def test_verify_audit_accepts_every_listed_key(self):
        with override_settings(AUDIT_KEYS={1: OLD}):
            old = Organization(name="Old", plan=self.acme.plan)
            old.create(actor=Actor.cli())
        only = ("--organization", old.id)
        with override_settings(AUDIT_KEYS={2: NEW, 1: OLD}):
            old.suspend(actor=Actor.cli(), reason="unpaid")
            self.verify(*only)
        with override_settings(AUDIT_KEYS={1: OLD, 2: NEW}):
            self.verify(*only)
        first, second = AuditEvent.objects.filter(organization_id=old.id).order_by("sequence")
        self.assertEqual((first.seal_key_id, second.seal_key_id), (1, 2))
        for keys, event in [({2: NEW}, first), ({1: OLD}, second)]:
            with override_settings(AUDIT_KEYS=keys):
                number = event.seal_key_id
                rest = "it is the last event" if number == 2 else "of the 1 after it, 1 fit"
                self.assertFound(
                    f"{old.id} event {number} ({event.pk}): cannot be checked: AUDIT_KEYS does not"
                    f" list number {number}; {rest}.",
                    args=only,
                )
        with override_settings(AUDIT_KEYS={2: OLD, 1: NEW}), self.assertRaises(CommandError):
            self.verify(*only)


class TriggerTests(VerifyTestCase):
    def test_verify_audit_finds_a_disabled_trigger(self):
        for table, trigger in [
            ("audit_auditevent", "audit_event_append_only"),
            ("audit_audithead", "audit_head_stays"),
            ("audit_audithead", "audit_head_one_step"),
        ]:
            with self.subTest(trigger):
                name = connection.ops.quote_name(table)
                with as_owner() as cursor:
                    cursor.execute(f"ALTER TABLE {name} DISABLE TRIGGER {trigger}")
                try:
                    found = f"{table} {trigger}: this trigger of the table is missing or disabled."
                    self.assertFound(found)
                finally:
                    with as_owner() as cursor:
                        cursor.execute(f"ALTER TABLE {name} ENABLE TRIGGER {trigger}")
        self.verify()

    def test_values_no_column_could_hold_fit_no_seal(self):
        columns = {"id": "evt_x", "seal_key_id": 1, "ip": None, "created_at": None}
        key = secrets.token_bytes(32)
        with override_settings(AUDIT_KEYS={1: key}):
            for name, value in [("ip", "nowhere"), ("created_at", "never")]:
                with self.subTest(name):
                    self.assertIs(fits({**columns, name: value}, b"", after=GENESIS), False)


class ConcurrencyTests(VerifyTestCase):
    def test_verify_audit_accepts_10_000_events_written_by_8_threads_meanwhile(self):
        organizations = [self.acme, self.globex, self.organization("Initech", "free")]
        written = Event()
        moments: list[tuple[str, float]] = []

        def write(number: int) -> None:
            for turn in range(25):
                organization = organizations[(number + turn) % 3]
                with AuditLog.of(organization.id) as audit:
                    for index in range(50):
                        changes = {"number": (number, index)}
                        audit.record(
                            "organization.changed", organization, actor=Actor.cli(), changes=changes
                        )
                written.set()
            moments.append(("written", time.monotonic()))

        def verify_meanwhile() -> None:
            written.wait(20)
            call_command("verify_audit", stdout=io.StringIO(), stderr=io.StringIO())
            moments.append(("verified", time.monotonic()))

        in_threads(*(partial(write, number) for number in range(8)), verify_meanwhile)

        self.assertLess(dict(moments)["verified"], dict(moments)["written"])
        self.verify()
        self.assertEqual(self.err.getvalue(), f"Checked {10_000 + 9:,} events in 4 chains.\n")
        for organization in organizations:
            events = AuditEvent.objects.filter(organization_id=organization.id)
            numbers = list(events.order_by("sequence").values_list("sequence", flat=True))
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
