"""Tests of `manage.py forget`: it deletes what is no longer needed, in short transactions."""

import io
import secrets
from datetime import UTC, date, datetime, timedelta
from unittest import mock

import time_machine
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from apikeys.models import KeyDay, KeySecret, RememberedRequest
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent, OutboxRow
from notices.deliver.mails import spread
from notices.models import Contact, Delivery, KeyNote
from staff.models import LogInTries
from staff.models.log_in_tries import COOL_OFF
from tests.support.committed import CommittedTestCase
from tests.support.notices import add_contact
from tests.support.retries import NOW, RetryTestCase


def forget() -> str:
    out = io.StringIO()
    call_command("forget", stdout=out)
    return out.getvalue()


class ForgetTests(RetryTestCase):
    def test_forget_deletes_remembered_requests_after_24_hours(self):
        with time_machine.travel(NOW, tick=False) as clock:
            for token in ("t-1", "t-2"):
                self.create(token)
            clock.shift(timedelta(hours=1))
            kept = self.create("t-3").json()
            for hours, deleted in [(22, 0), (1, 2), (0, 0)]:
                clock.shift(timedelta(hours=hours))
                self.assertIn(f"{deleted} remembered requests\n", forget())
            again = self.create("t-3")
            self.replayed(again)
            self.assertEqual(again.json()["id"], kept["id"])
            self.made(self.create("t-1"))

    def test_forget_deletes_key_days_after_13_whole_months(self):
        for now, oldest in [
            (datetime(2026, 1, 31, 23, 59, tzinfo=UTC), date(2024, 12, 1)),
            (datetime(2026, 2, 1, tzinfo=UTC), date(2025, 1, 1)),
            (datetime(2026, 12, 5, tzinfo=UTC), date(2025, 11, 1)),
        ]:
            days = [oldest - timedelta(days=n) for n in (-1, 0, 1, 2)]
            for day in days:
                KeyDay.objects.create(api_key=self.key, day=day, requests=1, limited=0)
            with self.subTest(now), time_machine.travel(now, tick=False):
                self.assertTrue(forget().startswith("2 key days\n"))
                left = KeyDay.objects.order_by("day").values_list("day", flat=True)
                self.assertEqual(list(left), [days[1], days[0]])
            KeyDay.objects.all().delete()

    def test_forget_deletes_log_in_tries_that_have_ended(self):
        with time_machine.travel(NOW, tick=False) as clock:
            LogInTries.add("a")
            clock.shift(timedelta(minutes=14))
            LogInTries.add("b")
            self.assertIn("0 log-in tries\n", forget())
            clock.shift(timedelta(minutes=1))
            self.assertIn("1 log-in tries\n", forget())
            self.assertEqual(LogInTries.objects.get().subject, "b")

    def test_forget_deletes_notices_30_days_after_their_delivery_and_then_what_they_needed(self):
        day = timedelta(days=1)
        with time_machine.travel(NOW, tick=False) as clock:
            contact = add_contact(self.acme)
            expired = add_contact(self.acme, "no@acme.example", verified_at=None)
            gone = add_contact(self.acme, "gone@acme.example")
            self.issue()  # Delivered after a week.
            row = OutboxRow.objects.get()
            while spread():
                pass
            KeyNote.objects.create(api_key=self.key, kind="expired", due_on=NOW.date())
            KeyNote.objects.create(api_key=self.issue()[0], kind="expired", due_on=NOW.date())
            OutboxRow.objects.exclude(pk=row.pk).delete()
            gone.removed_at = NOW
            gone.save()
            revoke(self.key, actor=Actor.cli())
            unspread = OutboxRow.objects.get(spread_at=None)
            clock.shift(7 * day)
            Delivery.objects.filter(contact=contact).update(delivered_at=NOW + 7 * day)
            Delivery.objects.filter(contact=gone).update(failed_at=NOW + 8 * day)
            for days, counts in (
                (7, (0, 0, 1, 1)),
                (36, (0, 0, 0, 0)),
                (37, (1, 0, 0, 0)),
                (38, (1, 1, 1, 0)),
                (99, (0, 0, 0, 0)),
            ):
                clock.move_to(NOW + days * day)
                names = ("deliveries", "outbox rows", "contacts", "notes of ended keys")
                told = "\n".join(f"{n} {name}" for n, name in zip(counts, names, strict=True))
                self.assertIn(f"\n{told}\n", forget(), days)
        self.assertEqual(Contact.objects.get(), contact)
        self.assertEqual(OutboxRow.objects.get(), unspread)
        self.assertFalse(Contact.objects.filter(pk=expired.pk).exists())

    def test_forget_deletes_in_batches(self):
        LogInTries.objects.bulk_create(
            LogInTries(subject=str(n), failed_at=NOW - COOL_OFF) for n in range(7)
        )
        for n in range(5):
            day = date(2020, 1, 1 + n)
            KeyDay.objects.create(api_key=self.key, day=day, requests=1, limited=0)
        events = AuditEvent.objects.count()
        with (
            mock.patch("reachscore.management.commands.forget.BATCH", 2),
            CaptureQueriesContext(connection) as queries,
        ):
            self.assertEqual(
                forget(),
                "5 key days\n7 log-in tries\n0 remembered requests\n0 report windows\n"
                "0 deliveries\n0 outbox rows\n0 contacts\n0 notes of ended keys\n"
                "0 ended secrets\n",
            )
        statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
        # Full batches, the rest, and one that finds nothing: of each table.
        self.assertEqual(len(statements), (3 + 1) + (4 + 1) + 7)
        for statement in statements:
            self.assertRegex(statement, "LIMIT 2 FOR UPDATE SKIP LOCKED")
        self.assertEqual(RememberedRequest.objects.count(), 0)
        self.assertEqual(AuditEvent.objects.count(), events)

    def test_forget_deletes_more_key_days_than_a_batch_holds(self):
        days = "SELECT %s, date '1970-01-01' + n, 1, 0 FROM generate_series(1, 12000) AS n"
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO apikeys_keyday (api_key_id, day, requests, limited) {days}",
                [self.key.pk],
            )
        self.assertTrue(forget().startswith("12000 key days\n"))
        self.assertFalse(KeyDay.objects.exists())


class CommittedForgetTests(CommittedTestCase):
    """Outside a test's transaction, as the command runs."""

    def test_forget_removes_ended_secrets_from_a_dropped_pepper_and_keeps_live_ones(self):
        peppers = [secrets.token_bytes(32) for _ in range(2)]
        with override_settings(API_KEY_PEPPERS={7: peppers[0]}):
            for _ in range(2):
                revoke(self.issue()[0], actor=Actor.cli())
            _, live = self.issue()
        with override_settings(API_KEY_PEPPERS={9: peppers[1]}):
            self.assertTrue(KeySecret.objects.need_missing_pepper())
            with mock.patch("reachscore.management.commands.forget.BATCH", 1):
                self.assertIn("2 ended secrets\n", forget())
            self.assertTrue(KeySecret.objects.need_missing_pepper())
            self.assertEqual(KeySecret.objects.count_by_pepper(), {7: 1})
        with override_settings(API_KEY_PEPPERS={9: peppers[1], 7: peppers[0]}):
            self.assertEqual(live.get("/v1/auth/me").status_code, 200)
            self.assertIn("0 ended secrets\n", forget())
            revoke(KeySecret.objects.get(pepper_id=9).api_key, actor=Actor.cli())
        with override_settings(API_KEY_PEPPERS={9: peppers[1]}), self.assertNumQueries(1):
            self.assertFalse(KeySecret.objects.need_missing_pepper())
