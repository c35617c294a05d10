"""Tests of quotas under concurrency: exactly the quota is granted."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

from django.db import transaction

from accounts.models import Meter, Usage
from apikeys import meters
from apikeys.models import KeyMonth
from apikeys.refusals import QuotaExceeded
from audit.actor import Actor
from audit.models import OutboxRow
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.notices import add_contact

THREADS = 50
LIMIT = 1_000


class Undone(Exception):
    """A creation that fails after it was counted."""


def attempt(call: Callable[[], None]) -> str:
    try:
        call()
    except QuotaExceeded:
        return "refused"
    except Undone:
        return "undone"
    return "granted"


class MeterRaceTests(CommittedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.agree(tests_limit=LIMIT, domains_limit=20)
        self.me = self.as_caller(self.issue()[1])

    def agree(self, **limits: int | None) -> None:
        self.acme.change_plan(actor=Actor.cli(), reason="agreed", **limits)

    def used(self, meter: Meter) -> int:
        used: int = Usage.objects.get(meter=meter, livemode=True).used
        return used

    def in_many_threads(
        self, work: Callable[[int], list[str]], threads: int = THREADS
    ) -> Counter[str]:
        parts = in_threads(*[lambda number=number: work(number) for number in range(threads)])
        return Counter(outcome for part in parts for outcome in part)

    def test_quota_grants_exactly_1000_of_3000_calls_by_50_threads_and_tells_each_crossing_once(
        self,
    ):
        def consume(_: int) -> list[str]:
            take = partial(meters.consume, self.me, Meter.TESTS)
            return [attempt(take) for _ in range(60)]

        add_contact(self.acme)
        outcomes = self.in_many_threads(consume)

        self.assertEqual(outcomes, {"granted": LIMIT, "refused": 3_000 - LIMIT})
        told = OutboxRow.objects.values_list("type", "data__used").order_by("data__used")
        self.assertEqual(list(told), [("usage.quota_80", 800), ("usage.quota_100", LIMIT)])
        self.assertEqual(self.used(Meter.TESTS), LIMIT)
        self.assertEqual(KeyMonth.objects.get().tests, LIMIT)

    def test_quota_is_freed_by_a_concurrent_rollback(self):
        """Every third creation fails; calls go on until the quota is full, then none is granted."""

        def make(fails: bool) -> None:
            with transaction.atomic():
                meters.consume(self.me, Meter.TESTS)
                if fails:
                    raise Undone

        def work(number: int) -> list[str]:
            return [attempt(partial(make, (number + step) % 3 == 0)) for step in range(60)]

        outcomes = self.in_many_threads(work)

        self.assertEqual(outcomes.total(), 3_000)
        self.assertEqual(outcomes["granted"], LIMIT)
        self.assertGreater(outcomes["undone"], 0)
        self.assertEqual(self.used(Meter.TESTS), LIMIT)
        self.assertEqual(KeyMonth.objects.get().tests, LIMIT)

    def test_domain_quota_is_never_exceeded_while_domains_come_and_go(self):
        standing, most, lock = 0, 0, threading.Lock()

        def work(number: int) -> list[str]:
            nonlocal standing, most
            outcomes = []
            mine = 0
            dice = random.Random(number)
            take = partial(meters.consume, self.me, Meter.DOMAINS)
            for _ in range(40):
                if mine and dice.random() < 0.5:
                    mine -= 1
                    with lock:  # Before the release, so that `standing` is never too high.
                        standing -= 1
                    meters.release(self.me, Meter.DOMAINS)
                    outcomes.append("released")
                    continue
                outcome = attempt(take)
                if outcome == "granted":
                    mine += 1
                    with lock:
                        standing += 1
                        most = max(most, standing)
                outcomes.append(outcome)
            return outcomes

        outcomes = self.in_many_threads(work, threads=20)

        self.assertEqual(self.used(Meter.DOMAINS), outcomes["granted"] - outcomes["released"])
        self.assertEqual(self.used(Meter.DOMAINS), standing)
        self.assertLessEqual(most, 20)
        self.assertGreater(outcomes["refused"], 0)

    def test_quota_is_filled_and_not_exceeded_by_calls_of_different_size(self):
        def work(number: int) -> list[str]:
            size = number % 5 + 1
            take = partial(meters.consume, self.me, Meter.TESTS, size)
            return [f"{attempt(take)} {size}" for _ in range(40)]

        outcomes = self.in_many_threads(work, threads=20)

        granted = sum(outcomes[f"granted {size}"] * size for size in range(1, 6))
        self.assertEqual(granted, self.used(Meter.TESTS))
        self.assertLessEqual(granted, LIMIT)
        self.assertGreater(granted, LIMIT - 5)

    def test_shares_of_concurrent_keys_are_each_exact(self):
        outcomes = self.consume_with_shares(70, 50, None)

        self.assertEqual([outcomes[f"granted {number}"] for number in range(3)], [70, 50, 200])
        self.assertEqual(self.used(Meter.TESTS), 320)

    def test_plan_quota_holds_over_the_shares_of_concurrent_keys(self):
        self.agree(tests_limit=200)

        outcomes = self.consume_with_shares(70, 50, None)

        granted = [outcomes[f"granted {number}"] for number in range(3)]
        self.assertEqual((sum(granted), self.used(Meter.TESTS)), (200, 200))
        self.assertLessEqual(granted[0], 70)
        self.assertLessEqual(granted[1], 50)

    def consume_with_shares(self, *shares: int | None) -> Counter[str]:
        """Let a key of each share try 200 tests; return the counts of outcomes, as “granted 0”."""
        keys = [self.issue(max_tests_per_month=share) for share in shares]
        callers = [self.as_caller(client) for _, client in keys]

        def work(number: int) -> list[str]:
            which = number % len(callers)
            take = partial(meters.consume, callers[which], Meter.TESTS)
            return [f"{attempt(take)} {which}" for _ in range(20)]

        outcomes = self.in_many_threads(work, threads=10 * len(callers))
        for which, (api_key, _) in enumerate(keys):
            counted = KeyMonth.objects.get(api_key=api_key).tests
            self.assertEqual(counted, outcomes[f"granted {which}"])
        return outcomes
