"""Tests of the queue of reports: what is killed, in which order, and what becomes of a failure."""

from datetime import UTC, datetime, timedelta
from unittest import mock

import time_machine
from django.db import OperationalError, transaction
from django.test import Client

from apikeys.models import ApiKey
from apikeys.plaintext import new_plaintext
from audit.models import AuditEvent, AuditHead
from notices.leaks.queue import MOST_TRIES, work_off
from notices.models import LeakReport
from tests.support.captured import captured_logs
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
URL = "https://git.example/acme"


def report(*keys: str, address: str = "192.0.2.7", **fields: str) -> None:
    body = {"keys": list(keys), **fields}
    client = Client(REMOTE_ADDR=address)
    answer = client.post("/v1/revoke_exposed", body, content_type="application/json")
    assert answer.status_code == 202, answer.content


def is_alive(client: ApiClient) -> bool:
    return bool(client.get("/v1/auth/me").status_code == 200)


class QueueTests(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)

    def test_reported_keys_of_several_organizations_die_and_the_report_is_deleted(self):
        (one, acme), (_, spared) = self.issue(), self.issue()
        _, globex = self.issue(organization=self.globex, livemode=False)
        report(new_plaintext(livemode=True), f"KEY={acme.key}", globex.key, "x", found_at=URL)
        self.assertTrue(is_alive(acme))

        self.assertEqual([work_off(), work_off()], [True, False])

        self.assertEqual([is_alive(client) for client in (acme, globex, spared)], [0, 0, 1])
        self.assertFalse(LeakReport.objects.exists())
        event = AuditEvent.objects.get(action="api_key.leaked", target_id=one.pk)
        self.assertEqual(event.actor_type, "stranger")
        self.assertEqual(event.changes["source"], [None, "revoke_exposed"])
        self.assertEqual(event.changes["url"], [None, URL])
        report(acme.key, found_at=URL)  # A second report changes nothing.
        self.assertTrue(work_off())
        self.assertEqual(self.actions(one), ["issued", "leaked", "revoked"])

    def test_small_reports_are_worked_off_first_then_the_oldest(self):
        for name, is_small, minutes in (
            ("c", False, 9),
            ("b", True, 1),
            ("d", False, 8),
            ("a", True, 2),
        ):
            made = {"created_at": NOON, "due_at": NOON - timedelta(minutes=minutes)}
            LeakReport.objects.create(id=name, digests=[], is_small=is_small, **made)
        worked: list[str] = []
        with mock.patch("notices.leaks.queue.kill"):
            while left := set(LeakReport.objects.values_list("pk", flat=True)):
                work_off()
                worked += left - set(LeakReport.objects.values_list("pk", flat=True))
        self.assertEqual(worked, ["a", "b", "c", "d"])

    def test_report_that_fails_is_tried_again_later_and_lets_others_pass(self):
        (_, bad), (_, good) = self.issue(), self.issue()
        report(bad.key, address="192.0.2.1")
        self.clock.shift(1)
        with captured_logs() as logs:
            for pause in (2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
                with mock.patch("notices.leaks.queue.kill", side_effect=OperationalError("busy")):
                    self.assertEqual([work_off(), work_off()], [True, False])
                left = LeakReport.objects.get()
                self.assertEqual(left.due_at, datetime.now(UTC) + timedelta(seconds=pause))
                if pause == 2:
                    report(good.key, address="192.0.2.2")
                    self.assertEqual([work_off(), work_off()], [True, False])
                    self.assertEqual([is_alive(bad), is_alive(good)], [True, False])
                self.clock.shift(pause)
        self.assertIn(f"Report {left.pk} failed", logs.getvalue())
        self.assertTrue(work_off())
        self.assertFalse(is_alive(bad) or LeakReport.objects.exists())

    def test_report_that_always_fails_is_dropped_and_blocks_nobody(self):
        with mock.patch("notices.leaks.queue.kill", side_effect=ZeroDivisionError):
            report("x")
            with self.assertRaises(ZeroDivisionError):
                work_off()
            self.assertFalse(work_off())  # Nobody else takes it within the lease.
            self.clock.shift(60)
            LeakReport.objects.update(tries=MOST_TRIES)
            with captured_logs() as logs:
                self.assertEqual([work_off(), work_off()], [True, False])
        self.assertIn("is dropped", logs.getvalue())
        self.assertFalse(LeakReport.objects.exists())


class SideBySideTests(CommittedTestCase):
    def test_two_workers_take_each_report_once(self):
        with mock.patch("notices.leaks.queue.kill") as kill:
            for _ in range(40):
                LeakReport.objects.create(digests=[bytes(32)], is_small=True)
            worked = in_threads(*[lambda: [work_off() for _ in range(30)]] * 3)
        self.assertEqual((kill.call_count, sum(map(sum, worked))), (40, 40))

    def test_locked_organization_delays_neither_the_other_in_its_report_nor_other_reports(self):
        (_, stuck), (key, globex) = self.issue(), self.issue(organization=self.globex)
        (_, later) = self.issue(organization=self.globex)
        report(stuck.key, globex.key, address="192.0.2.1")
        report(later.key, address="192.0.2.2")
        with transaction.atomic():
            AuditHead.objects.select_for_update().get(pk=self.acme.pk)
            (worked,) = in_threads(lambda: [work_off(), work_off(), work_off()])
            self.assertEqual(worked, [True, True, False])
            self.assertEqual(ApiKey.objects.filter(revoked_at=None).count(), 1)
        self.assertEqual([is_alive(c) for c in (stuck, globex, later)], [True, False, False])
        LeakReport.objects.update(due_at=NOON)
        self.assertTrue(work_off())
        self.assertFalse(is_alive(stuck) or LeakReport.objects.exists())
        self.assertEqual(self.actions(key), ["issued", "leaked", "revoked"])
