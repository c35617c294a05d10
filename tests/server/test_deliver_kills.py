"""Tests of `manage.py deliver` as a process: killed, stopped, side by side, cut off."""

import os
import random
import re
import signal
import sys
import time
from threading import Thread

from django.db import connection, connections

from apikeys.models import ApiKey
from apikeys.plaintext import verifying_digests
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent, OutboxRow
from notices.models import Delivery, Lane, LeakReport
from tests.support.committed import CommittedTestCase, superuser
from tests.support.deliverer import Deliverer, Ledger, mail_server
from tests.support.gate import Gate
from tests.support.notices import add_contact
from tests.support.waiting import until

KILLS = int(os.environ.get("KILLS", "20"))  # Half of them of processes, half of backends.
LEASE = 5.0
END_A_BACKEND = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'deliver' ORDER BY random() LIMIT 1
"""


class DeliverProcessTests(CommittedTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("ops", "dev"):
            add_contact(self.acme, f"{name}@acme.example")
        self.ledger: Ledger = self.enterContext(mail_server())

    def deliverer(self, *, lease: float = 60, port: int | None = None) -> Deliverer:
        return self.enterContext(Deliverer(self.ledger, lease=lease, port=port))

    def tell(self, count: int = 1) -> None:
        """Let staff revoke keys: a notice at once for both contacts."""
        for _ in range(count):
            api_key, _ = self.issue()
            revoke(api_key, actor=Actor.staff(self.sam), reason="left")

    def waiting(self) -> int:
        """Return how much is not worked off that is due."""
        unended = Delivery.objects.filter(is_at_once=True, delivered_at=None)
        rows = OutboxRow.objects.filter(spread_at=None)
        return unended.count() + rows.count() + LeakReport.objects.count()

    def check(self, *, repeats: int) -> int:
        """Check that each delivery was taken, as often as promised. Return the repeats."""
        at_once = Delivery.objects.filter(is_at_once=True, delivered_at__isnull=False)
        ended = {key: at.timestamp() for key, at in at_once.values_list("pk", "delivered_at") if at}
        names = [name for name, _ in self.ledger.taken]
        self.assertEqual(set(names), ended.keys())  # None lost, and no second id.
        for name, at in self.ledger.taken:
            self.assertLess(at, ended[name], "sent again after it was recorded")
        self.assertLessEqual(len(names) - len(ended), repeats)
        return len(names) - len(ended)

    def test_kills_lose_nothing_and_repeat_at_most_what_was_in_hand(self):
        deliverers = [self.deliverer(lease=LEASE) for _ in range(2)]
        reported: list[str] = []
        is_over = False

        def load() -> None:
            """Revoke keys by staff, and report others as exposed."""
            while not is_over:
                self.tell()
                api_key, client = self.issue()
                digests = list(verifying_digests(client.key))
                LeakReport.objects.create(digests=digests, is_small=True)
                reported.append(api_key.pk)
                # Not ahead of the deliverers: an organization has at most 100 active keys.
                until(lambda: LeakReport.objects.count() < 30)
                time.sleep(0.1)
            connections.close_all()

        thread = Thread(target=load)
        thread.start()
        try:
            self.ledger.until(3)
            with superuser() as owner:
                for number in range(KILLS):
                    before = len(self.ledger.taken)
                    if number % 2:
                        owner.execute(END_A_BACKEND)
                    else:
                        victim = random.choice(deliverers)
                        victim.stop(signal.SIGKILL)
                        victim.start()
                    # The next one comes while they are at work, not while they start.
                    self.ledger.until(before + 1 + random.randrange(4))
        finally:
            is_over = True
            thread.join()
        until(lambda: not self.waiting(), seconds=120 + 2 * KILLS)
        self.assertEqual([deliverer.stop() for deliverer in deliverers], [0, 0])

        repeats = self.check(repeats=KILLS)
        keys = ApiKey.objects.filter(pk__in=reported)
        self.assertEqual(keys.exclude(revoked_at=None).count(), len(reported))
        leaked = AuditEvent.objects.filter(action="api_key.leaked")
        self.assertEqual(leaked.count(), len(reported))
        both = 2 * (leaked.count() + AuditEvent.objects.filter(actor_type="staff").count())
        self.assertEqual(Delivery.objects.filter(is_at_once=True).count(), both)
        sys.stdout.write(f"{KILLS} kills, {both} deliveries, {repeats} repeats\n")  # pytest -s

    def test_two_side_by_side_share_the_work_and_send_nothing_twice(self):
        self.ledger.seconds = 0.02
        self.tell(30)
        for _ in range(2):
            self.deliverer()
        until(lambda: not self.waiting())
        self.check(repeats=0)

    def test_sigterm_ends_after_the_mail_in_hand(self):
        self.ledger.seconds = 3  # Within which SIGTERM comes.
        self.tell(3)
        deliverer = self.deliverer()
        self.ledger.until(1)
        self.assertEqual(deliverer.stop(), 0)
        self.assertEqual(len(self.ledger.taken), 1)
        self.assertEqual(Delivery.objects.exclude(delivered_at=None).count(), 1)
        self.assertFalse(Delivery.objects.exclude(taken_until=None).exists())

    def test_slow_mail_server_delays_no_kill(self):
        self.ledger.seconds = 60
        self.tell(3)
        self.deliverer()
        self.ledger.until(1)
        api_key, client = self.issue()
        digests = list(verifying_digests(client.key))
        LeakReport.objects.create(digests=digests, is_small=True)
        until(lambda: ApiKey.objects.get(pk=api_key.pk).revoked_at, seconds=30)

    def test_silent_database_is_waited_for_and_never_spun_on(self):
        gate = Gate("{HOST}/.s.PGSQL.{PORT}".format(**connection.settings_dict))
        deliverer = self.deliverer(port=gate.port)
        until(Lane.objects.exists)
        gate.open.clear()
        self.tell()
        until(lambda: deliverer.said.count("database fault") >= 6)
        # Kills and mails go on at once after a fail-over, however long it took.
        self.assertEqual(set(re.findall(r"again in (\d+) s", deliverer.said)), {"1"})
        gate.open.set()
        until(lambda: not self.waiting())
        self.assertEqual(deliverer.stop(), 0)
        self.assertLess(deliverer.said.count("\n"), 16, deliverer.said)
        self.check(repeats=0)
