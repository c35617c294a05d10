"""Tests of the rate limit under concurrency: it is exact over threads and processes."""

import os
import random
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import time_machine
from django.db import connection

from accounts.models import RateWindow
from apikeys.authentication.statement import find_and_count
from apikeys.models import KeyDay
from audit.actor import Actor
from tests.support.cast import ApiClient
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.demo_server import free_port
from tests.support.production_server import ProductionServer

NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)
LIMIT = 120
# Seconds that the requests of a test take at most, on a busy machine.
TIME_NEEDED = 8


class ThreadTests(CommittedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.acme.change_plan(actor=Actor.cli(), reason="the plan's", requests_per_minute=None)
        self.api_key, self.api = self.issue()

    @time_machine.travel(NOON, tick=False)
    def test_rate_limit_passes_exactly_120_of_200_requests_by_8_threads(self):
        def ask() -> list[int]:
            client = ApiClient(self.api.key)
            return [client.get("/v1/auth/me").status_code for _ in range(25)]

        statuses = Counter(status for part in in_threads(*[ask] * 8) for status in part)

        self.assertEqual(statuses, {200: LIMIT, 429: 200 - LIMIT})
        today = KeyDay.objects.get()
        self.assertEqual((today.requests, today.limited), (200, 200 - LIMIT))

    def test_rate_limit_numbers_1000_requests_by_20_threads_uniquely(self):
        def count() -> list[int | None]:
            found = [find_and_count(self.api.key, now=NOON, address=None) for _ in range(50)]
            return [row.requests_this_minute for row in found if row]

        numbers = [number for part in in_threads(*[count] * 20) for number in part]

        self.assertEqual(sorted(n for n in numbers if n), list(range(1, 1001)))
        today = KeyDay.objects.get()
        self.assertEqual((today.requests, today.limited), (1000, 1000 - LIMIT))

    def test_rate_limit_is_exact_for_a_burst_over_the_turn_of_a_minute(self):
        """Clocks differ by less than a minute, and statements overtake each other."""

        def count(number: int) -> list[tuple[float, int]]:
            around = random.Random(number)
            answers = []
            for step in range(50):
                now = NOON + timedelta(seconds=step + around.uniform(-2, 2))
                row = find_and_count(self.api.key, now=now, address=None)
                assert row is not None
                assert row.window_started_at is not None
                assert row.requests_this_minute is not None
                answers.append((row.window_started_at, row.requests_this_minute))
            return answers

        calls = [lambda number=number: count(number) for number in range(8)]
        windows: defaultdict[float, list[int]] = defaultdict(list)
        for part in in_threads(*calls):
            self.assertEqual(part, sorted(part))  # No thread saw a window go back.
            for started_at, number in part:
                windows[started_at].append(number)

        self.assertEqual(len(windows), 2)
        for numbers in windows.values():
            self.assertEqual(sorted(numbers), list(range(1, len(numbers) + 1)))
        self.assertEqual(sum(len(numbers) for numbers in windows.values()), 400)
        self.assertEqual(KeyDay.objects.get().requests, 400)
        self.assertEqual(RateWindow.objects.get().requests, len(windows[max(windows)]))


class FourProcesses(ProductionServer):
    """`manage.py serve` with four workers on the tests' database, with the tests' secrets."""

    def __init__(self) -> None:
        name, folder = (connection.settings_dict[part] for part in ("NAME", "HOST"))
        options = quote(connection.settings_dict["OPTIONS"]["options"])
        self.port, self.workers = free_port(), 4
        self.environ = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "reachscore.settings",
            "DATABASE_URL": f"postgres://reachscore@/{name}?host={quote(folder, safe='')}"
            f"&options={options}",
            "DEBUG": "true",
        }

    def __enter__(self) -> "FourProcesses":
        self.start()
        return self


class ProcessTests(CommittedTestCase):
    def test_rate_limit_passes_exactly_120_of_200_requests_by_4_processes(self):
        self.acme.change_plan(actor=Actor.cli(), reason="the plan's", requests_per_minute=None)
        key = self.issue()[1].key
        with FourProcesses() as server, ThreadPoolExecutor(16) as pool:
            left = 60 - time.time() % 60
            if left < TIME_NEEDED:
                time.sleep(left)
            answers = list(pool.map(lambda _: server.ask("/v1/auth/me", key=key), range(200)))
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                connections = cursor.fetchone()[0]

        self.assertGreater(connections, 2)  # More connections than one process has.
        self.assertEqual(Counter(a.status for a in answers), {200: LIMIT, 429: 200 - LIMIT})
        self.assertEqual(len({answer.headers["RateLimit-Reset"] for answer in answers}), 1)
        remaining = [int(a.headers["RateLimit-Remaining"]) for a in answers if a.status == 200]
        self.assertEqual(sorted(remaining), list(range(LIMIT)))
        for refused in (answer for answer in answers if answer.status == 429):
            self.assertEqual(refused.json()["error"]["code"], "rate_limit_exceeded")
            self.assertIn(int(refused.headers["Retry-After"]), range(1, 61))
        today = KeyDay.objects.get()
        self.assertEqual((today.requests, today.limited), (200, 200 - LIMIT))
