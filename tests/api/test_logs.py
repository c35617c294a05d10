"""Tests of the log: one line per request, without a key, and none that a client can forge."""

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import psycopg
import time_machine
from django.contrib.admin.utils import quote as admin_quote
from django.db import DataError, InterfaceError, OperationalError
from django.test import Client, RequestFactory, SimpleTestCase, override_settings
from django.views.debug import get_exception_reporter_class

from apikeys.plaintext import new_plaintext
from apikeys.verbs.revoke import revoke
from tests.support.captured import Captured, captured_logs, the_handler
from tests.support.cast import ApiTestCase
from web.redaction import holds_key, quote_input, redact
from web.telemetry.logs import JsonFormatter, TextFormatter, log_quickly

ROOT = Path(__file__).resolve().parents[2]
FIND = "apikeys.authentication.caller.Caller.auth_context"


def spellings(key: str) -> list[str]:
    """Return spellings of a key that a reader of the line would decode to the key."""
    everywhere = "".join(f"%{ord(c):02X}" for c in key)
    return [
        key,
        key.replace("_", "%5F"),
        key.replace("_", "%5f", 1),
        key.replace("_", "%255F"),
        everywhere,
        everywhere.lower(),
        quote(everywhere),
        admin_quote(key),
        f"{key[:30]}%{ord(key[30]):02x}{key[31:]}",
    ]


class RequestLineTests(ApiTestCase):
    def one_line(self, logs: Captured) -> dict[str, object]:
        (line,) = logs.records()
        return line

    def test_request_line_says_who_asked_what_and_how_it_ended(self):
        api_key, client = self.issue()
        with captured_logs() as logs:
            response = client.get("/v1/auth/me", REMOTE_ADDR="192.0.2.1")
        line = self.one_line(logs)
        self.assertRegex(str(line.pop("time")), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertGreater(float(str(line.pop("ms"))), 0)
        self.assertEqual(
            line,
            {
                "level": "INFO",
                "logger": "reachscore.request",
                "message": "request",
                "request_id": response["Request-Id"],
                "method": "GET",
                "route": "v1/auth/me",
                "status": 200,
                "key": api_key.id,
                "organization": self.acme.id,
                "address": "192.0.2.1",
            },
        )

    def test_request_line_written_quickly_is_the_line_of_logging(self):
        log, fields = logging.getLogger("reachscore.request"), {"key": new_plaintext(livemode=True)}
        with captured_logs() as logs, time_machine.travel(0.25, tick=False):
            log_quickly(log, "request", fields)
            log.info("request", extra={"fields": fields})
            with mock.patch.object(log, "disabled", new=True):
                log_quickly(log, "request", fields)
        quick, usual = logs.lines
        self.assertEqual(quick, usual)
        self.assertIn("1970-01-01T00:00:00.250Z", quick)
        self.assertIn("[redacted]", quick)

    def test_request_line_names_the_route_and_never_the_path(self):
        api_key, client = self.issue()
        for path, route, status in [
            ("/v1/auth/me?limit=1", "v1/auth/me", 400),
            ("/nothing/here", "unknown", 404),
            ("/v1/nothing/here", "unknown", 404),
            (f"/v1/keys?key={client.key}", "unknown", 400),
            (f"/admin/apikeys/apikey/{admin_quote(api_key.id)}/change/", "", 302),
        ]:
            with self.subTest(path), captured_logs() as logs:
                self.assertEqual(client.get(path).status_code, status)
                line = self.one_line(logs)
                self.assertEqual(line["status"], status)
                if route:
                    self.assertEqual(line["route"], route)
                self.assertNotIn("nothing", logs.getvalue())
                self.assertNotIn(api_key.id, str(line["route"]))

    def test_request_line_of_an_unauthenticated_request_names_no_caller(self):
        api_key, client = self.issue()
        client.get("/v1/auth/me")
        revoke(api_key, actor=mock.Mock(type="cli", id="", label="test"), reason="")
        for caller in (client, Client()):
            with captured_logs() as logs:
                self.assertRefused(
                    caller.get("/v1/auth/me"),
                    401,
                    "api_key_invalid" if caller is client else "api_key_missing",
                )
            line = self.one_line(logs)
            self.assertEqual((line["key"], line["organization"]), (None, None))

    def test_unknown_method_is_logged_as_other(self):
        with captured_logs() as logs:
            self.client.generic("RK_LIVE", "/v1/auth/me")
        self.assertEqual(self.one_line(logs)["method"], "other")

    @override_settings(TRUSTED_PROXY_COUNT=1)
    def test_request_line_has_the_address_the_trusted_proxy_saw(self):
        for forwarded, address in [("10.0.0.1, 192.0.2.7", "192.0.2.7"), ("nonsense", None)]:
            with captured_logs() as logs:
                self.client.get("/healthz", headers={"X-Forwarded-For": forwarded})
            self.assertEqual(self.one_line(logs)["address"], address)

    def test_request_line_costs_no_query_even_with_a_session(self):
        browser = self.staff()
        with captured_logs() as logs, self.assertNumQueries(0):
            browser.get("/healthz")
        self.assertEqual(len(logs.lines), 1)

    def test_request_line_is_readable_in_development(self):
        _, client = self.issue()
        with captured_logs(TextFormatter) as logs:
            client.get("/v1/auth/me")
        self.assertRegex(logs.lines[0], r"^\S+Z INFO reachscore.request: request method=GET route=")


class OneLineTests(ApiTestCase):
    """What strangers and outages cause is one log line per request: with the route, without their
    text.
    """

    def assertOneLine(self, client: Client, method: str, url: str, status: int, **sent: Any) -> Any:
        client.raise_request_exception = False
        with captured_logs() as logs:
            response = client.generic(method, url, **sent)
        self.assertEqual(response.status_code, status, response.content[:300])
        (line,) = logs.records()
        self.assertEqual((line["logger"], line["status"]), ("reachscore.request", status))
        self.assertNotIn("MARK", logs.getvalue())
        return line

    def test_request_refused_by_django_is_one_line_without_the_clients_text(self):
        stranger, browser = Client(enforce_csrf_checks=True), self.staff()
        form = {"content_type": "application/x-www-form-urlencoded"}
        many = "&".join(f"MARK{n}=1" for n in range(2000))
        for client, method, url, status, sent in (
            (stranger, "GET", "/admin/MARK" + "x" * 16_400, 400, {}),  # DisallowedRedirect
            (stranger, "GET", "/admin/?next=MARK" + "x" * 16_400, 400, {}),
            (stranger, "POST", "/admin/login/?MARK", 403, {}),  # The CSRF token is missing,
            (stranger, "POST", "/admin/MARK/", 403, {}),
            (stranger, "POST", "/?MARK", 403, {"HTTP_ORIGIN": "https://MARK.example"}),
            (stranger, "POST", "/", 403, {"HTTP_COOKIE": "csrftoken=MARK"}),  # or malformed.
            (stranger, "GET", "/MARK", 404, {}),
            (stranger, "GET", "/v1/MARK", 404, {}),
            (stranger, "PUT", "/healthz?MARK", 405, {}),
            (stranger, "MARK", "/favicon.ico?MARK", 403, {"HTTP_X_MARK": "MARK"}),
            (stranger, "GET", "/docs?MARK", 400, {"HTTP_HOST": "MARK.example"}),
            (stranger, "GET", f"/docs?{many}", 400, {}),
            (stranger, "GET", f"/v1/keys?{many}", 400, {}),
            (browser, "POST", "/admin/login/?MARK", 400, {"data": many, **form}),
            (
                browser,
                "POST",
                "/admin/login/?MARK",
                400,
                {"data": "MARK", "content_type": "multipart/form-data"},
            ),
            (browser, "GET", "/admin/apikeys/apikey/?MARK__x=1", 400, {}),
            (browser, "POST", "/admin/audit/auditevent/export/?organization=MARK%00", 302, {}),
            (browser, "GET", "/admin/apikeys/apikey/?created_at__year=MARK", 400, {}),
            (browser, "GET", "/static/..%2f..%2fMARK", 404, {}),
            (Client(), "GET", "/admin/", 302, {"HTTP_COOKIE": "sessionid=MARK"}),
        ):
            with self.subTest(method=method, url=url[:60], sent=str(sent)[:60]):
                self.assertOneLine(client, method, url, status, **sent)

    def test_lost_database_is_named_on_the_line_of_each_503(self):
        _, client = self.issue()
        away = OperationalError("MARK")
        away.__cause__ = psycopg.errors.AdminShutdown("MARK")
        for who, broken, url in (
            (client, FIND, "/v1/auth/me?require=tests:read"),
            (client, FIND, "/v1/auth/me"),
            (
                self.staff(),
                "staff.keys.keys.ApiKeyAdmin.get_queryset",
                "/admin/apikeys/apikey/?q=MARK",
            ),
            (Client(), "reachscore.health._problems", "/readyz?MARK"),
            (Client(), "django.core.handlers.base.BaseHandler.resolve_request", "/docs?MARK"),
        ):
            for error in (away, InterfaceError("MARK")):
                with self.subTest(url=url, error=repr(error)):
                    with mock.patch(broken, side_effect=error):
                        line = self.assertOneLine(who, "GET", url, 503)
                    state = "57P01" if error is away else "no "
                    self.assertIn(state, line["fault"])

    def test_data_error_of_a_page_is_400_and_one_line(self):
        browser, error = self.staff(), DataError("MARK")
        with mock.patch("staff.keys.keys.ApiKeyAdmin.get_queryset", side_effect=error):
            self.assertOneLine(browser, "GET", "/admin/apikeys/apikey/", 400)

    def test_bug_in_a_page_is_logged_under_the_request_id_without_its_path(self):
        browser = self.staff()
        browser.raise_request_exception = False
        bug = RuntimeError("broke")
        with (
            captured_logs() as logs,
            mock.patch("staff.keys.keys.ApiKeyAdmin.get_queryset", side_effect=bug),
        ):
            response = browser.get("/admin/apikeys/apikey/?q=MARK")
        traced, line = logs.records()
        self.assertEqual(traced["message"], f"Bug behind request {response['Request-Id']}")
        self.assertIn("RuntimeError: broke", traced["exception"])
        self.assertEqual(line["status"], 500)
        self.assertNotIn("MARK", logs.getvalue())


class BugTests(ApiTestCase):
    def test_bug_traceback_is_logged_under_the_request_id_without_a_key(self):
        _, client = self.issue()
        client.raise_request_exception = False
        for formatter in (JsonFormatter, TextFormatter):
            for spelling in spellings(client.key):
                bug = RuntimeError(f"broke on {spelling}")
                with captured_logs(formatter) as logs, mock.patch(FIND, side_effect=bug):
                    response = client.get("/v1/auth/me")
                self.assertRefused(response, 500, "internal_error")
                self.assertIn("broke on", logs.getvalue())
                self.assertIn("Traceback", logs.getvalue())
                self.assertIn(response["Request-Id"], logs.getvalue())
                self.assertNotIn(spelling, logs.getvalue())
                self.assertNotIn(client.key[17:], logs.getvalue())

    @override_settings(DEBUG=True)
    def test_django_exception_report_shows_no_key(self):
        key = new_plaintext(livemode=True)
        request = RequestFactory().get("/", headers={"Referer": key.replace("_", "%5F")})
        reporter_class: Any = get_exception_reporter_class(request)
        bug = RuntimeError(f"broke on {key}")
        reporter = reporter_class(request, RuntimeError, bug, None)
        for report in (reporter.get_traceback_html(), reporter.get_traceback_text()):
            self.assertIn("broke on", report)
            self.assertIn("[redacted]", report)
            self.assertNotIn(key[17:], report)


class RedactionTests(SimpleTestCase):
    def test_redaction_hides_a_key_in_any_spelling_and_keeps_its_locator(self):
        key = new_plaintext(livemode=False)
        for spelling in spellings(key):
            with self.subTest(spelling[:20]):
                text = redact(f"GET /a?q={spelling}&b=c")
                self.assertRegex(text, r"^GET /a\?q=.*_\[redacted\]&b=c$")
                self.assertTrue(holds_key(f"x{spelling}y"))
        self.assertEqual(redact(key), f"{key[:16]}_[redacted]")
        self.assertEqual(redact(key[:-20]), f"{key[:16]}_[redacted]")
        self.assertEqual(redact(key * 2), f"{key[:16]}_[redacted]" * 2)
        for adjacent in (f"{key}{spellings(key)[1]}", f"{spellings(key)[1]}{key}"):
            self.assertNotIn(key[17:], redact(adjacent))

    def test_redaction_keeps_text_that_is_no_key(self):
        key = new_plaintext(livemode=True)
        for text in (
            "100% of work",
            key[:16],
            "rk_live_…",
            "%72%6B",
            key.replace("_", "-"),
            "%" * 999,
        ):
            self.assertEqual(redact(text), text)
            self.assertFalse(holds_key(text))

    def test_quoted_input_hides_a_key_with_an_invisible_character_in_it(self):
        key = new_plaintext(livemode=True)
        shown = quote_input(f"{key[:4]}\u200b{key[4:]}", limit=200)
        self.assertNotIn(key[17:], shown)

    def test_redaction_keeps_long_hostile_text_unchanged(self):
        for text in ("%25" * 50_000, "rk_live_" * 20_000, "%2525" * 30_000 + "rk"):
            self.assertEqual(redact(text), text)


class LineTests(SimpleTestCase):
    HOSTILE = 'x\n{"level": "FORGED"}\r\n2030 INFO forged: \x1b[2K\x85\u2028\u2029\u202e\x00'

    def test_logged_text_cannot_end_the_line_or_control_a_terminal(self):
        log = logging.getLogger("reachscore.test")
        for formatter in (JsonFormatter, TextFormatter):
            with captured_logs(formatter) as logs:
                log.error(
                    "%s",
                    self.HOSTILE,
                    exc_info=ValueError(self.HOSTILE),
                    stack_info=True,
                    extra={"fields": {"a": self.HOSTILE}},
                )
            written = logs.getvalue()
            self.assertNotRegex(written, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]")
            # JSON: one line. Text: all but the first line are indented.
            starts = [line for line in written.splitlines() if not line.startswith("    ")]
            self.assertEqual(len(starts), 1)

    def test_lone_surrogate_is_logged_escaped(self):
        record = logging.LogRecord("reachscore.test", logging.ERROR, "", 0, "\ud800", (), None)
        for formatter in (JsonFormatter(), TextFormatter()):
            self.assertIn("d800", formatter.format(record).encode().decode())

    def test_request_path_cannot_end_a_log_line(self):
        for path in ("/%0aforged", "/v1/%0d%0aforged", "/admin/%e2%80%a8?a=%0aforged"):
            for formatter in (JsonFormatter, TextFormatter):
                with captured_logs(formatter) as logs:
                    self.client.get(path, headers={"Host": "evil.example"})
                self.assertEqual(len(logs.lines), 1)
                self.assertNotIn("forged", logs.getvalue())

    def test_unformattable_record_is_reported_and_not_shown(self):
        key = new_plaintext(livemode=True)
        record = logging.makeLogRecord({"name": "reachscore.test", "msg": "%d", "args": (key,)})
        with captured_logs() as logs:
            the_handler().handle(record)  # Only our handler, because pytest's own raises.
        self.assertEqual(logs.getvalue(), "A record of reachscore.test was lost: TypeError.\n")


class RedactedOutputTests(SimpleTestCase):
    """Run in processes of their own, because pytest puts hooks and handlers on the loggers here."""

    def run_there(self, code: str, *, check: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "import django; django.setup(); " + code],
            cwd=ROOT,
            env={"DJANGO_SETTINGS_MODULE": "tests.settings"},
            capture_output=True,
            text=True,
            timeout=60,
            check=check,
        )
        return done.stdout + done.stderr

    def test_root_logger_alone_has_a_handler(self):
        code = (
            "import logging, granian.log; from django.core.servers import basehttp; "
            "print([(n, l.handlers) for n, l in logging.root.manager.loggerDict.items() "
            # A NullHandler is no handler; `requests`, which DRF imports if installed, has one.
            # pyasn1's, which webauthn imports, writes nothing unless its debugging is switched on.
            "if n != 'pyasn1' "
            "and any(type(h) is not logging.NullHandler for h in getattr(l, 'handlers', ()))], "
            "len(logging.root.handlers))"
        )
        self.assertEqual(self.run_there(code).strip(), "[] 1")

    def test_warnings_and_uncaught_exceptions_are_redacted(self):
        key = new_plaintext(livemode=True)
        text = f"broke on {key}"
        raising = f"(_ for _ in ()).throw(ValueError('{text}'))"
        for name, code in {
            "warning": f"import warnings; warnings.warn('{text}')",
            "exception": raising,
            "thread": f"import threading; threading.Thread(target=lambda: {raising}).start()",
            "finalizer": f"x = type('X', (), {{'__del__': lambda self: {raising}}})(); del x",
        }.items():
            with self.subTest(name):
                written = self.run_there(code, check=False)
                self.assertIn("broke on", written)
                self.assertIn("_[redacted]", written)
                self.assertFalse(re.search(key[17:], written))
