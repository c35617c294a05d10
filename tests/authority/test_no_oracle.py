"""Test that a report of an exposed key takes the same time whether the key exists or not.

`python -m bench.oracle` measures the same over HTTP, with ten thousand calls.
"""

import random
import time

from apikeys.plaintext import new_plaintext
from bench.oracle import probability
from notices.leaks.exposed import take_report
from notices.models import LeakReport, ReportWindow
from tests.support.cast import ApiTestCase

CALLS = 2000


class OracleTests(ApiTestCase):
    def test_times_of_hits_and_misses_are_not_told_apart_by_a_rank_test(self):
        hits = [self.issue()[1].key for _ in range(20)]
        misses = [new_plaintext(livemode=True) for _ in hits]
        keys = (hits + misses) * (CALLS // 40)
        random.shuffle(keys)
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for number, key in enumerate(keys):
            if number % 50 == 0:  # No window is full, and the queue stays short.
                LeakReport.objects.all().delete()
                ReportWindow.objects.all().delete()
            began = time.perf_counter()
            take_report([key])
            seconds[key in hits].append(time.perf_counter() - began)
        # One run in ten thousand would fail; a look-up would make p smaller than 1e-100.
        self.assertGreater(probability(seconds[True], seconds[False]), 1e-4)

    def test_rank_test_tells_times_apart_that_differ_by_a_fifth_of_their_spread(self):
        ones = [random.gauss(10, 1) for _ in range(5000)]
        self.assertGreater(probability(ones[::2], ones[1::2]), 1e-4)
        self.assertLess(probability(ones[::2], [each + 0.2 for each in ones[1::2]]), 1e-4)
