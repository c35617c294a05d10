"""Tests of `POST /v1/revoke_exposed` and of the page /revoke: every report is taken alike."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import time_machine
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from apikeys.plaintext import new_plaintext, verifying_digests
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from notices.leaks import exposed
from notices.leaks.limits import take_turn
from notices.models import LeakReport, ReportWindow
from tests.support.captured import captured_logs
from tests.support.cast import Answer, ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.dump import dumped
from web.database.base import CommitUnconfirmed
from web.errors.refusals import Refusal

PATH = "/v1/revoke_exposed"
NOON = datetime(2026, 3, 10, 12, 0, 0, 500_000, tzinfo=UTC)
URL = "https://git.example/a?b=c#d"


class ReportTestCase(ApiTestCase):
    """The clock stands at noon. What is not about limits has no limits to reach."""

    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.addresses = iter(f"192.0.2.{n}" for n in range(250))

    def report(self, body: Any, *, address: str = "", **headers: Any) -> Answer:
        """POST a report, as somebody else each time, in a second of its own."""
        if not address:
            self.clock.shift(1)
            address = next(self.addresses)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        options = {"content_type": "application/json", "REMOTE_ADDR": address, **headers}
        answer: Answer = Client().generic("POST", PATH, data, **options)
        return answer

    def fill_in(self, browser: Client | None = None, /, **fields: str) -> Answer:
        """Send the form as a browser does."""
        browser = browser or Client(enforce_csrf_checks=True, REMOTE_ADDR=next(self.addresses))
        self.clock.shift(1)
        page = browser.get("/revoke").content.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert token
        return browser.post("/revoke", {"csrfmiddlewaretoken": token[1], **fields})


class AnswerTests(ReportTestCase):
    def every_kind(self) -> dict[str, str]:
        """Return texts of every kind, and of the same length."""
        _, live = self.issue()
        _, test = self.issue(livemode=False)
        dead, gone = self.issue()
        revoke(dead, actor=Actor.cli())
        unknown = new_plaintext(livemode=True)
        return {
            "live": live.key,
            "test": test.key,
            "dead": gone.key,
            "unknown": unknown,
            "wrong checksum": unknown[:-1] + ("a" if unknown[-1] != "a" else "b"),
            "malformed": "x" * len(unknown),
            "not ASCII": "é" * len(unknown),
        }

    def test_every_kind_of_key_gets_the_same_answer_queries_log_line_and_row(self):
        seen: dict[str, Any] = {}
        for kind, key in self.every_kind().items():
            with captured_logs() as logs, CaptureQueriesContext(connection) as queries:
                answer = self.report({"keys": [key], "found_at": URL})
            self.assertEqual(answer.status_code, 202, answer.content)
            body = answer.json()
            self.assertRegex(body["id"], r"^rpt_[0-9A-Za-z]{12}$")
            self.assertEqual((body["object"], body["received"]), ("leak_report", 1))
            self.assertEqual(list(body), ["id", "object", "received"])
            (line,) = logs.records()
            headers = {
                name: value for name, value in answer.headers.items() if name != "Request-Id"
            }
            report = LeakReport.objects.get(pk=body["id"])
            seen[kind] = (
                headers,
                answer.content.replace(body["id"].encode(), b""),
                [re.sub(r"'[^']*'", "", query["sql"]) for query in queries],
                {n: v for n, v in line.items() if n not in ("time", "request_id", "ms", "address")},
                (len(report.digests), report.found_at, report.is_small, report.tries),
            )
            self.assertNotIn("RateLimit-Limit", answer.headers)
        for kind, what in seen.items():
            with self.subTest(kind):
                self.assertEqual(what, seen["live"])
        self.assertEqual(len(seen["live"][2]), 4)  # Two windows, the queue's length, the row.

    @override_settings(API_KEY_PEPPERS={2: b"new" * 12, 1: b"old" * 12})
    def test_report_holds_the_digests_of_each_key_once_under_every_pepper(self):
        one, other = (new_plaintext(livemode=True) for _ in range(2))
        spread = f"\u200b{other[:20]} {other[20:]}"
        for keys in ([one], [one, one], [one, f'KEY="{one}"', f" {one}\n"], [one, spread]):
            report = LeakReport.objects.get(pk=self.report({"keys": keys}).json()["id"])
            held = sorted(map(bytes, report.digests))
            wanted = verifying_digests(one) + (verifying_digests(other) if spread in keys else [])
            self.assertEqual(held, sorted(wanted))

    def test_body_is_taken_or_refused_by_its_form_alone(self):
        key = new_plaintext(livemode=True)
        for body, field in [
            ({"keys": [""]}, None),
            ({"keys": ["x" * 200]}, None),
            ({"keys": ["\ud800\x00"]}, None),
            ({"keys": [key] * 1000, "found_at": "https://" + "x" * 992}, None),
            ({"keys": ["x" * 50 for _ in range(1000)]}, None),
            ({"keys": [key], "found_at": "https://xn--bcher-kva.example/%C3%A9"}, None),
            ({}, "keys"),
            ({"keys": []}, "keys"),
            ({"keys": None}, "keys"),
            ({"keys": key}, "keys"),
            ({"keys": {key: key}}, "keys"),
            ({"keys": [key, 5]}, "keys"),
            ({"keys": [[key]]}, "keys"),
            ({"keys": ["x"] * 1001}, "keys"),
            ({"keys": ["x" * 201]}, "keys"),
            ({"keys": [key], "found_at": None}, "found_at"),
            ({"keys": [key], "found_at": ""}, "found_at"),
            ({"keys": [key], "found_at": "http://git.example/"}, "found_at"),
            ({"keys": [key], "found_at": "javascript:alert(1)//https://"}, "found_at"),
            ({"keys": [key], "found_at": "https://a b"}, "found_at"),
            ({"keys": [key], "found_at": "https://bücher.example"}, "found_at"),
            ({"keys": [key], "found_at": "https://a\nb"}, "found_at"),
            ({"keys": [key], "found_at": "https://"}, "found_at"),
            ({"keys": [key], "found_at": "https://" + "x" * 993}, "found_at"),
            ({"keys": [key], "foundat": URL}, "foundat"),
            ({"credentials": [key], "keys": [key]}, "credentials"),
        ]:
            with self.subTest(str(body)[:80]):
                answer = self.report(body)
                self.assertEqual(answer.status_code, 400 if field else 202, answer.content)
                self.assertEqual(answer.json().get("error", {}).get("field"), field)
                self.assertNotIn(key[17:], answer.content.decode())
        answer = self.report({"keys": [key], "found_at": f"https://git.example/{key}"})
        self.assertRefused(answer, 400, "contains_api_key", field="found_at")
        for data in (b"", b"[]", b'"x"', b"{", b'{"keys": NaN}', b'{"keys": [], "keys": []}'):
            with self.subTest(data):
                self.assertIn(self.report(data).status_code, (400, 411))
        self.assertRefused(self.report(b" " * 65_537), 413, "request_too_large")
        self.assertRefused(
            self.report({}, content_type="text/plain"), 415, "unsupported_media_type"
        )
        self.assertRefused(self.report({}, QUERY_STRING="a=b"), 400, "parameter_unknown", field="a")
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            answer = Client().generic(method, PATH)
            self.assertRefused(answer, 405, "method_not_allowed")
        self.assertEqual(LeakReport.objects.count(), 6)

    def test_request_with_an_authorization_header_is_refused_and_stores_nothing(self):
        _, client = self.issue()
        for value in (f"Bearer {client.key}", "Basic eDp5", "", "\xff"):
            answer = self.report({"keys": [client.key]}, HTTP_AUTHORIZATION=value)
            error = self.assertRefused(answer, 400, "request_invalid", field="Authorization")
            self.assertIn("Take the Authorization header out", error["fix"])
            self.assertNotIn("WWW-Authenticate", answer.headers)
        self.assertFalse(LeakReport.objects.exists() or ReportWindow.objects.exists())
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_headers_of_other_endpoints_are_ignored(self):
        headers = {"HTTP_REACHSCORE_SIMULATE": "internal_error", "HTTP_IDEMPOTENCY_KEY": "é" * 300}
        for _ in range(2):
            answer = self.report({"keys": ["x"]}, HTTP_ORIGIN="https://a.example", **headers)
            self.assertEqual(answer.status_code, 202)
            self.assertNotIn("Access-Control-Allow-Origin", answer.headers)

    def test_503_says_that_sending_it_again_is_safe(self):
        fault = OperationalError("away")
        fault.__cause__ = CommitUnconfirmed()
        with mock.patch("notices.leaks.exposed.take_report", side_effect=fault):
            answer = self.report({"keys": ["x"]})
        error = self.assertRefused(answer, 503, "temporarily_unavailable")
        self.assertTrue(error["fix"].startswith("Send the same again until it is answered 2xx."))

    def test_plaintext_of_a_reported_key_stays_nowhere(self):
        _, client = self.issue()
        key = client.key
        with captured_logs() as logs:
            bodies = [
                {"keys": [key]},
                {"keys": key},
                {"keys": [key], key: 1},
                {"keys": [{key: key}]},
            ]
            said = [self.report(body).content.decode() for body in bodies]
            said.append(self.report(b'{"keys": ["' + key.encode()).content.decode())
            for text in (key, f"{key} {'x' * 300}"):
                page = self.fill_in(keys=text, found_at=f"https://x/{key}")
                said += [page.content.decode(), str(page.headers), str(page.cookies)]
        for place in (dumped(), logs.getvalue(), *said):
            self.assertNotIn(key[17:], place)


class LimitTests(ReportTestCase):
    def send(self, address: str | None, *, keys: int = 1) -> str:
        """Send a report; return its status, with Retry-After if it is refused."""
        answer = self.report({"keys": ["x"] * keys}, address=address or "nonsense")
        if answer.status_code == 429:
            self.assertRefused(answer, 429, "rate_limit_exceeded")
            return f"429 {answer['Retry-After']}"
        return str(answer.status_code)

    def spread_out(self, address: str | None, times: int) -> None:
        """Count so many reports, 50 a second."""
        for n in range(times):
            self.clock.shift(timedelta(seconds=0.02))
            take_turn(address and address.format(n), keys=1)

    def test_address_sends_60_reports_an_hour_and_others_go_on(self):
        for address, same, other in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("2001:db8:1:2::7", "2001:db8:1:2:ffff::8", "2001:db8:1:3::7"),
            (None, None, "192.0.2.9"),
        ]:
            with self.subTest(address):
                self.spread_out(address, 60)
                self.assertEqual(self.send(same), "429 3599")
                self.assertEqual(self.send(other), "202")
                self.clock.shift(3598)
                self.assertEqual(self.send(same), "429 1")
                self.clock.shift(1)
                self.spread_out(same, 60)
                self.clock.shift(timedelta(hours=2))

    def test_ipv6_network_of_48_bits_sends_600_reports_an_hour(self):
        self.spread_out("2001:db8:1:{:x}::1", 600)
        self.assertEqual(self.send("2001:db8:1:ffff::1"), "429 3589")
        self.assertEqual(self.send("2001:db8:2:ffff::1"), "202")
        # Refused by a later limit, it counts in no earlier one, and makes no row.
        self.assertFalse(ReportWindow.objects.filter(subject="2001:db8:1:ffff::/64").exists())

    def test_everybody_sends_5_large_and_100_small_reports_a_second(self):
        for keys, most in ((11, 5), (10, 100)):
            for n in range(most - 1):
                take_turn(f"198.51.100.{n}", keys=keys)
            sent = [self.send("203.0.113.1", keys=keys) for _ in range(3)]
            self.assertEqual(sent, ["202", "429 1", "429 1"])
        self.clock.shift(1)
        self.assertEqual([self.send("203.0.113.1", keys=n) for n in (1, 11)], ["202"] * 2)

    def test_refused_and_malformed_reports_leave_room_for_everybody(self):
        self.spread_out("192.0.2.7", 60)
        self.clock.shift(5)
        for _ in range(20):
            self.send("192.0.2.7")
            self.report({"keys": "x"}, address="192.0.2.8")
            self.report({"keys": ["x"]}, address="192.0.2.8", HTTP_AUTHORIZATION="x")
        self.assertFalse(ReportWindow.objects.filter(subject="192.0.2.8/32").exists())
        for n in range(100):
            take_turn(f"198.51.100.{n}", keys=1)
        self.assertEqual(self.send("198.51.100.100"), "429 1")
        self.assertFalse(ReportWindow.objects.filter(subject="198.51.100.100/32").exists())

    def test_window_survives_clocks_a_second_apart_and_no_wrong_one(self):
        take_turn("192.0.2.7", keys=1)
        (before,) = ReportWindow.objects.filter(subject="192.0.2.7/32").values()
        self.clock.shift(-1)
        take_turn("192.0.2.7", keys=1)
        (after,) = ReportWindow.objects.filter(subject="192.0.2.7/32").values()
        self.assertEqual(after, {**before, "remaining": 58})
        self.clock.shift(-120)
        take_turn("192.0.2.7", keys=1)
        (after,) = ReportWindow.objects.filter(subject="192.0.2.7/32").values()
        self.assertEqual((after["remaining"], after["ends_at"] < before["ends_at"]), (59, True))

    def test_forget_deletes_the_windows_that_have_ended(self):
        for address in ("192.0.2.7", "2001:db8::1"):
            take_turn(address, keys=1)
        self.clock.shift(timedelta(minutes=59))
        take_turn("192.0.2.8", keys=1)
        for minutes, deleted in ((0.5, 1), (1, 3), (59, 1)):
            self.clock.shift(timedelta(minutes=minutes))
            out = io.StringIO()
            call_command("forget", stdout=out)
            self.assertIn(f"\n{deleted} report windows\n", out.getvalue())
        self.assertFalse(ReportWindow.objects.exists())
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relpersistence FROM pg_class WHERE relname = 'notices_reportwindow'"
            )
            self.assertEqual(cursor.fetchone(), ("u",))  # Unlogged.

    def test_full_queue_is_503_and_has_room_again_once_it_is_worked_off(self):
        counted = mock.patch.dict("notices.leaks.exposed._counted", {"digests": 0})
        self.enterContext(counted)
        most = 100_000
        full = LeakReport.objects.create(digests=[bytes(32)] * (most - 1), is_small=False)
        answers = [self.report({"keys": ["x"]}) for _ in range(2)]
        self.assertEqual([answer.status_code for answer in answers], [202, 503])
        self.assertRefused(answers[1], 503, "temporarily_unavailable")
        self.assertEqual(answers[1]["Retry-After"], "5")
        page = self.fill_in(keys="x")
        self.assertContains(page, "Too many reports wait", status_code=503)
        with self.assertNumQueries(2):  # A long queue is not counted for each: two windows.
            self.assertEqual(self.report({"keys": ["x"]}).status_code, 503)
        full.delete()
        exposed._counted["at"] -= 1  # A second later.
        self.assertEqual(self.report({"keys": ["x"]}).status_code, 202)


class PageTests(ReportTestCase):
    def test_page_takes_keys_in_any_layout_and_comes_back_empty(self):
        key, other = (new_plaintext(livemode=True) for _ in range(2))
        for text, found_at, status, received in [
            (key, "", 202, 1),
            (f"  {key}\r\n{other};", URL, 202, 2),
            (f'export KEY="{key}"', "", 202, 2),
            ("x", "", 202, 1),
            ("x\n" * 1000, "", 202, 1000),
            ("", "", 400, 0),
            (" \n", "", 400, 0),
            ("x\n" * 1001, "", 400, 0),
            ("x" * 201, "", 400, 0),
            (key, "http://git.example", 400, 0),
            (key, f"https://git.example/{key}", 400, 0),
        ]:
            with self.subTest(text[:20]):
                page = self.fill_in(keys=text, found_at=found_at)
                self.assertEqual(page.status_code, status)
                self.assertIn("no-store", page["Cache-Control"])
                self.assertEqual(page["Referrer-Policy"], "same-origin")
                html = page.content.decode()
                self.assertRegex(html, r"<textarea[^>]*></textarea>")
                self.assertNotIn(" value=", re.sub(r'name="csrfmiddlewaretoken" value=', "", html))
                for typed in (key, other, key[17:], found_at):
                    self.assertNotIn(typed or key, html)
                if received:
                    report = LeakReport.objects.latest("created_at", "id")
                    self.assertIn(report.pk, html)
                    self.assertIn(f"among the {received} that you sent", html)
        first = LeakReport.objects.earliest("created_at")
        self.assertEqual(list(map(bytes, first.digests)), verifying_digests(key))
        self.assertTrue(LeakReport.objects.filter(found_at=URL).exists())

    def test_page_refuses_a_form_without_its_token_and_other_methods(self):
        browser = Client(enforce_csrf_checks=True)
        key = new_plaintext(livemode=True)
        refused = browser.post("/revoke", {"keys": key})
        self.assertEqual(refused.status_code, 403)
        self.assertNotIn(key[17:], refused.content.decode())
        self.assertEqual(Client().put("/revoke").status_code, 405)
        self.assertEqual(browser.get(f"/revoke?keys={key}").status_code, 400)
        self.assertFalse(LeakReport.objects.exists())

    def test_page_and_api_share_the_limits(self):
        for _ in range(60):
            self.clock.shift(timedelta(seconds=0.02))
            take_turn("192.0.2.7", keys=1)
        page = self.fill_in(Client(REMOTE_ADDR="192.0.2.7"), keys=new_plaintext(livemode=True))
        self.assertContains(page, "Too many reports", status_code=429)
        self.assertRegex(page.content.decode(), r"<textarea[^>]*></textarea>")
        self.assertEqual(page["Retry-After"], "3598")


class RaceTests(CommittedTestCase):
    def test_limits_are_exact_over_ten_threads(self):
        for address, keys, most in (
            ("192.0.2.7", 1, 60),
            ("2001:db8:1:2::7", 1, 60),
            ("2001:db8:2:{}::7", 11, 5),
            ("198.51.100.{}", 1, 100),
        ):

            def send(thread: int, address: str = address, keys: int = keys) -> list[bool]:
                taken = []
                for n in range(15):
                    try:
                        take_turn(address.format(thread * 15 + n), keys=keys)
                        taken.append(True)
                    except Refusal:
                        taken.append(False)
                return taken

            with self.subTest(address), time_machine.travel(NOON, tick=False):
                taken = in_threads(*(lambda n=n: send(n) for n in range(10)))
                self.assertEqual(sum(map(sum, taken)), most)
            with time_machine.travel(NOON + timedelta(hours=2), tick=False):
                ReportWindow.objects.all().delete()
