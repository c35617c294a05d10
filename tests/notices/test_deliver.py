"""Tests of spreading and delivering: to whom, when, in which order, and how often it is tried."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from smtplib import SMTPServerDisconnected
from typing import Any
from unittest import mock

import time_machine
from django.core import mail
from django.core.management import call_command
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone

from apikeys.plaintext import verifying_digests
from apikeys.verbs.leak import Place, act_on_leak
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent, OutboxRow
from notices.deliver import mails
from notices.deliver.mails import next_weekly, spread
from notices.kinds import VERIFICATION
from notices.mail.send import send
from notices.models import Contact, Delivery, Lane, LaneName, LeakReport
from tests.support.cast import ApiTestCase
from tests.support.notices import add_contact

THURSDAY = datetime(2026, 3, 12, 12, tzinfo=UTC)
MONDAY = datetime(2026, 3, 16, 8, tzinfo=UTC)


class DeliverTestCase(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(THURSDAY, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        Lane.beat(LaneName.MAILS)
        self.ops = self.contact("ops@acme.example")

    def contact(self, email: str, **columns: Any) -> Contact:
        return add_contact(self.acme, email, **columns)

    def row(self, type_: str = "api_key.leaked", **columns: Any) -> OutboxRow:
        noun = type_.partition(".")[0]
        return OutboxRow.objects.create(
            organization_id=self.acme.pk, type=type_, target_type=noun, target_id="x", **columns
        )

    def deliver(self) -> list[str]:
        """Work the lane off. Return address and type of each mail."""
        mail.outbox.clear()
        while mails.deliver_next():
            pass
        return [f"{sent.to[0]} {sent.extra_headers['ReachScore-Notice']}" for sent in mail.outbox]


class SpreadTests(DeliverTestCase):
    def test_row_goes_to_the_contacts_of_its_time(self):
        hour = timedelta(hours=1)
        for type_, columns, is_told in (
            ("api_key.leaked", {}, True),
            ("api_key.leaked", {"verified_at": None}, False),
            ("api_key.leaked", {"verified_at": THURSDAY}, True),
            ("api_key.leaked", {"verified_at": THURSDAY + hour}, False),
            ("organization.contacts_changed", {"removed_at": THURSDAY - hour}, False),
            ("organization.contacts_changed", {"removed_at": THURSDAY}, True),
            ("organization.contacts_changed", {"removed_at": THURSDAY + hour}, True),
            ("organization.contacts_changed", {"unsubscribed_at": THURSDAY - hour}, True),
            ("usage.quota_100", {"unsubscribed_at": THURSDAY - hour}, False),
        ):
            with self.subTest(type_, **columns):
                contact = self.contact("other@acme.example", **columns)
                row = self.row(type_)
                self.assertTrue(spread())
                told = set(row.deliveries.values_list("contact", flat=True))
                self.assertEqual(told, {self.ops.pk, *([contact.pk] if is_told else [])})
                Delivery.objects.all().delete()
                contact.delete()
        self.assertFalse(spread())

    def test_row_is_for_its_own_organization_and_spread_once(self):
        Contact.objects.create(
            organization=self.globex, email="x@globex.example", verified_at=THURSDAY
        )
        self.row()
        self.assertTrue(spread())
        self.assertFalse(spread())
        self.assertEqual(Delivery.objects.get().contact, self.ops)

    def test_urgent_notices_are_at_once_and_others_wait_for_monday(self):
        sam, own, leaked, rotated = (self.issue()[0] for _ in range(4))
        rotate(rotated, actor=Actor.cli(), overlap=timedelta(days=1))
        found = [leaked.secrets.get().pk, rotated.secrets.earliest("pk").pk]
        OutboxRow.objects.all().delete()
        revoke(sam, actor=Actor.staff(self.sam), reason="left")
        revoke(own, actor=Actor.cli())
        # What the reports revoke and end is not told once more.
        github = Actor.scanner("github")
        act_on_leak(self.acme.pk, dict.fromkeys(found, Place()), actor=github, source="github")
        done = set(AuditEvent.objects.filter(actor_id="github").values_list("action", flat=True))
        self.assertEqual(done, {"api_key.leaked", "api_key.revoked", "api_key.secrets_ended"})
        self.row("api_key.expiring", data={"days": 1})
        self.row("api_key.expiring", data={"days": 7})
        while spread():
            pass
        due = Delivery.objects.order_by("-is_at_once", "type", "pk")
        self.assertEqual(
            sorted((d.type, d.is_at_once, d.due_at) for d in due),
            [
                ("api_key.expiring", False, MONDAY),
                ("api_key.expiring", True, THURSDAY),
                ("api_key.leaked", True, THURSDAY),
                ("api_key.leaked", True, THURSDAY),
                ("api_key.revoked", False, MONDAY),
                ("api_key.revoked", True, THURSDAY),
            ],
        )

    def test_weekly_mail_is_due_on_the_next_monday_at_8(self):
        for now, due in (
            (MONDAY - timedelta(microseconds=1), MONDAY),
            (MONDAY, MONDAY + timedelta(weeks=1)),
            (MONDAY.replace(hour=0), MONDAY),
        ):
            self.assertEqual(next_weekly(now), due)

    def test_event_of_an_organization_that_nobody_hears_writes_no_row(self):
        self.issue(organization=self.globex)
        with override_settings(EMAIL_FROM=""):
            self.issue()
        self.assertFalse(OutboxRow.objects.exists())
        api_key, _ = self.issue()
        row = OutboxRow.objects.get()
        self.assertEqual((row.type, row.target_id), ("api_key.issued", api_key.pk))


class DeliverTests(DeliverTestCase):
    def test_leaks_and_revocations_come_first_and_weekly_mails_last(self):
        self.row("api_key.changed")
        self.clock.move_to(MONDAY)
        for type_ in ("usage.quota_100", "api_key.leaked", "organization.contacts_changed"):
            self.row(type_)
        while spread():
            pass
        Delivery.objects.update(due_at=MONDAY)
        self.assertEqual(
            [line.partition(" ")[2] for line in self.deliver()],
            [
                "api_key.leaked",
                "usage.quota_100",
                "organization.contacts_changed",
                "weekly",
            ],
        )

    def test_delivery_is_recorded_and_never_sent_again(self):
        self.row()
        self.assertEqual(self.deliver(), ["ops@acme.example api_key.leaked"])
        delivery = Delivery.objects.get()
        self.assertEqual((delivery.delivered_at, delivery.tries), (THURSDAY, 1))
        self.assertIn(delivery.pk, mail.outbox[0].extra_headers["Message-ID"])
        self.clock.shift(timedelta(days=7))
        self.assertEqual(self.deliver(), [])
        self.assertEqual(Lane.objects.get(pk=LaneName.MAILS).delivered, 1)

    def test_weekly_deliveries_of_a_contact_are_one_mail_under_the_first_ones_id(self):
        self.contact("dev@acme.example")
        for type_ in ("api_key.issued", "api_key.changed"):
            self.row(type_)
            self.clock.shift(timedelta(hours=1))
        self.assertEqual(self.deliver(), [])
        self.clock.move_to(MONDAY)
        self.assertEqual(
            sorted(self.deliver()),
            ["dev@acme.example weekly", "ops@acme.example weekly"],
        )
        self.assertEqual(Delivery.objects.exclude(delivered_at=None).count(), 4)

    def test_refused_mail_is_tried_for_three_days_and_given_up(self):
        self.row()
        server = mock.patch.object(
            mails,
            "send",
            side_effect=SMTPServerDisconnected("not now rk_live_3iS8wW2x_" + 38 * "a"),
        )
        with server as sending:
            tried_at = []
            while not Delivery.objects.filter(failed_at__isnull=False):
                self.deliver()
                tried_at.append(timezone.now())
                self.clock.move_to(Delivery.objects.get().due_at)
            self.assertEqual(self.deliver(), [])
        delivery = Delivery.objects.get()
        self.assertEqual((sending.call_count, delivery.tries), (10, 10))
        self.assertEqual(
            delivery.answer, "SMTPServerDisconnected: not now rk_live_3iS8wW2x_[redacted]"
        )
        for wait, planned in zip(
            (b - a for a, b in pairwise(tried_at)),
            mails.RETRY_AFTER,
            strict=True,
        ):
            self.assertTrue(planned <= wait <= planned * 1.2, (planned, wait))
        self.assertTrue(timedelta(days=3) < tried_at[-1] - THURSDAY < timedelta(days=4))
        self.assertEqual(Lane.objects.get(pk=LaneName.MAILS).failed, 1)

    def test_bug_in_one_mail_holds_up_no_other(self):
        self.row()
        self.row("usage.quota_100")
        with (
            mock.patch.object(mails, "send", side_effect=fail_for_leaks),
            self.assertLogs("reachscore.deliver", "ERROR"),
        ):
            self.assertEqual(self.deliver(), ["ops@acme.example usage.quota_100"])
        self.clock.shift(timedelta(minutes=1))
        self.assertEqual(self.deliver(), ["ops@acme.example api_key.leaked"])

    def test_mail_that_the_database_fails_is_tried_again_as_any_other_and_given_up(self):
        self.row()
        slow = OperationalError("canceling statement due to statement timeout")
        with mock.patch.object(mails, "send", side_effect=slow) as sending:
            for _ in range(1 + len(mails.RETRY_AFTER)):
                self.deliver()
                self.clock.shift(timedelta(days=2))
            self.assertEqual(self.deliver(), [])
        self.assertEqual(sending.call_count, 1 + len(mails.RETRY_AFTER))
        self.assertIn("statement timeout", Delivery.objects.get(failed_at__isnull=False).answer)

    def test_contact_that_left_since_is_told_only_what_cannot_be_stopped(self):
        for column in ("removed_at", "unsubscribed_at"):
            contact = self.contact(f"{column}@acme.example")
            self.row()
            self.row("usage.quota_100")
            spread()
            setattr(contact, column, THURSDAY)
            contact.save()
            told = [line for line in self.deliver() if line.startswith(contact.email)]
            self.assertEqual(told, [f"{contact.email} api_key.leaked"])

    def test_link_that_would_be_sent_too_late_is_not_sent(self):
        week = timedelta(days=7)
        for late, count in ((-timedelta(minutes=1), 1), (timedelta(0), 0)):
            contact = self.contact(f"{count}@acme.example", verified_at=None)
            Delivery.objects.create(
                organization=self.acme, contact=contact, type=VERIFICATION, is_at_once=True,
                due_at=THURSDAY, created_at=THURSDAY,
            )  # fmt: skip
            Contact.objects.filter(pk=contact.pk).update(created_at=THURSDAY - week - late)
            self.assertEqual(len(self.deliver()), count)
        self.assertEqual(Delivery.objects.count(), 1)

    def test_lease_that_ended_is_taken_again_under_the_same_id(self):
        self.row()
        spread()
        (delivery,) = mails._take()
        self.assertEqual(self.deliver(), [])
        self.clock.shift(mails.LEASE)
        self.deliver()
        self.assertIn(delivery.pk, mail.outbox[0].extra_headers["Message-ID"])

    def test_once_ends_when_nothing_is_left_and_works_off_reports_too(self):
        self.row()
        _, client = self.issue()
        digests = list(verifying_digests(client.key))
        LeakReport.objects.create(digests=digests, is_small=True)
        with mock.patch("notices.management.commands.deliver.waits") as waits:
            call_command("deliver", "--once")
        waits.limit.assert_called_once()
        self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")
        types = [sent.extra_headers["ReachScore-Notice"] for sent in mail.outbox]
        self.assertEqual(types, ["api_key.leaked"] * 2)
        self.assertEqual(Lane.objects.count(), 2)

    def test_without_mail_nothing_is_spread(self):
        self.row()
        with override_settings(EMAIL_FROM=""):
            self.assertEqual(self.deliver(), [])
        self.assertIsNone(OutboxRow.objects.get().spread_at)


def fail_for_leaks(deliveries: list[Delivery]) -> str:
    if deliveries[0].type == "api_key.leaked":
        raise AttributeError("no such name")
    return send(deliveries)
