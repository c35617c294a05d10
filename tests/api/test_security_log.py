"""Tests of the security log: failed authentications counted and bounded, without what was typed."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import time_machine
from django.test import Client
from django.utils import timezone

from apikeys.plaintext import new_plaintext
from audit.actor import Actor
from tests.support.captured import Captured, captured_logs
from tests.support.cast import ApiClient, ApiTestCase
from web.telemetry.security_log import MOST_ADDRESSES, FailedAuthentications

ROOT = Path(__file__).resolve().parents[2]


def security_lines(logs: Captured) -> list[dict[str, Any]]:
    return logs.records("reachscore.security")


class FailedAuthenticationTests(ApiTestCase):
    def refused(self, *, key: str = "", address: str = "192.0.2.1") -> None:
        client = ApiClient(key) if key else Client()
        self.assertEqual(client.get("/v1/auth/me", REMOTE_ADDR=address).status_code, 401)

    def test_failed_authentications_are_one_line_a_minute_by_reason_and_address(self):
        unknown = new_plaintext(livemode=True)
        with captured_logs() as logs, time_machine.travel(timezone.now(), tick=False) as clock:
            for _ in range(3):
                self.refused(key=unknown)
            self.refused(key=unknown, address="2001:db8::1")
            self.refused()
            clock.shift(timedelta(seconds=59))
            self.refused()
            self.assertEqual(security_lines(logs), [])

            clock.shift(timedelta(seconds=1))
            self.client.get("/healthz")  # Any next request writes the line.
            (line,) = security_lines(logs)
            clock.shift(timedelta(minutes=5))
            self.client.get("/healthz")
            self.assertEqual(len(security_lines(logs)), 1)

        self.assertEqual(line["message"], "failed authentications")
        self.assertEqual(
            line["failures"],
            [
                {"reason": "api_key_invalid", "address": "192.0.2.1", "count": 3},
                {"reason": "api_key_missing", "address": "192.0.2.1", "count": 2},
                {"reason": "api_key_invalid", "address": "2001:db8::1", "count": 1},
            ],
        )
        self.assertNotIn(unknown[17:], logs.getvalue())

    def test_failed_authentication_after_the_minute_begins_a_new_count(self):
        with captured_logs() as logs, time_machine.travel(timezone.now(), tick=False) as clock:
            self.refused()
            clock.shift(timedelta(minutes=3))
            self.refused()
            clock.shift(timedelta(minutes=1))
            self.client.get("/healthz")
        counts = [line["failures"][0]["count"] for line in security_lines(logs)]
        self.assertEqual(counts, [1, 1])

    def test_failed_authentications_count_every_refusal_of_a_key_and_no_success(self):
        expiring, late = self.issue(expires_at=timezone.now() + timedelta(minutes=5))
        _, stranger = self.issue(organization=self.globex)
        self.globex.suspend(actor=Actor.cli(), reason="unpaid")
        with captured_logs() as logs, time_machine.travel(expiring.expires_at) as clock:
            self.assertRefused(late.get("/v1/auth/me"), 401, "api_key_expired")
            self.assertRefused(stranger.get("/v1/auth/me"), 403, "organization_suspended")
            self.assertEqual(self.issue()[1].get("/v1/auth/me").status_code, 200)
            clock.shift(timedelta(minutes=1))
            self.client.get("/healthz")
        (line,) = security_lines(logs)
        reasons = [failure["reason"] for failure in line["failures"]]
        self.assertEqual(sorted(reasons), ["api_key_expired", "organization_suspended"])

    def test_failed_authentications_take_bounded_memory_for_any_number_of_addresses(self):
        failures = FailedAuthentications()
        with captured_logs() as logs:
            for number in range(5_000):
                failures.count("api_key_invalid", str(ip_address(number)))
            failures.count("api_key_missing", None)
            failures.count("api_key_invalid", "0.0.0.0")
            failures.flush()
        (line,) = security_lines(logs)
        self.assertEqual(len(line["failures"]), MOST_ADDRESSES + 2)
        self.assertEqual(sum(failure["count"] for failure in line["failures"]), 5_002)
        rest = {failure["address"]: failure["count"] for failure in line["failures"][:2]}
        self.assertEqual(rest, {"others": 5_000 - MOST_ADDRESSES, "0.0.0.0": 2})

    def test_failed_authentications_are_counted_exactly_by_many_threads(self):
        failures = FailedAuthentications()
        address = "192.0.2.1"

        def fail_often(_: int) -> None:
            for number in range(500):
                failures.count("api_key_invalid", address)
                if number % 100 == 0:
                    failures.flush()

        with captured_logs() as logs, ThreadPoolExecutor(8) as pool:
            list(pool.map(fail_often, range(8)))
            failures.flush()
        counted = sum(line["failures"][0]["count"] for line in security_lines(logs))
        self.assertEqual(counted, 4_000)

    def test_failed_authentications_are_written_at_the_end_of_the_process(self):
        count = (
            "import django; django.setup(); "
            "from web.telemetry.security_log import failed_authentications as failures; "
            "failures.count('api_key_invalid', None)"
        )
        forked = (
            "import multiprocessing as m; p = m.get_context('fork').Process"
            f"(target=exec, args=({count!r},)); p.start(); p.join()"
        )
        for code in (count, forked):
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env={"DJANGO_SETTINGS_MODULE": "tests.settings"},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            self.assertEqual(done.stderr.count("failed authentications"), 1, done.stderr)


class FailedLogInTests(ApiTestCase):
    def log_in(self, username: str, password: str) -> list[dict[str, Any]]:
        with captured_logs() as logs:
            self.client.post("/admin/login/", {"username": username, "password": password})
        self.assertNotIn(password, logs.getvalue())
        return security_lines(logs)

    def test_failed_log_in_is_one_line_with_name_and_address(self):
        (line,) = self.log_in("sam", "wrong horse")
        self.assertEqual(line["message"], "failed log-in")
        self.assertEqual((line["user"], line["address"]), ('"sam"', "127.0.0.1"))

    def test_failed_log_in_line_hides_a_name_that_is_no_account(self):
        (line,) = self.log_in("correct horse", "wrong horse")
        self.assertEqual(line["user"], '"(nobody\'s)"')

    def test_successful_log_in_writes_no_security_line(self):
        self.assertEqual(self.log_in("sam", "correct horse"), [])

    def test_failed_log_in_line_shows_no_key_typed_as_name_or_password(self):
        key = new_plaintext(livemode=True)
        for typed in (key, key.replace("_", "%5F"), f"{key[:5]}\u200b{key[5:]}", f"{key}\nforged"):
            (line,) = self.log_in(typed, key)
            self.assertNotIn(key[17:], line["user"])
            self.assertNotIn("\n", line["user"])
