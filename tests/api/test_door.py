"""Tests of the door: it answers as Django's side does, byte by byte, and takes nothing odd."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import time_machine
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import RequestFactory, override_settings
from rest_framework.permissions import BasePermission
from rest_framework.throttling import BaseThrottle

from apikeys.api.me_and_usage import AuthContextView
from apikeys.authentication.caller import Caller
from apikeys.authentication.door import ME, Door, question_of
from apikeys.permissions import AnyCaller
from apikeys.plaintext import new_plaintext
from apikeys.throttling import RateLimit
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.captured import captured_logs
from tests.support.cast import ApiTestCase, kept_connection
from web.environ import Application, Environ, bounded, cleaned

NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)
HANDED_ON = AssertionError("The door handed on a request of its own.")
# A failing log must not look the same as a passing one, but its time may differ.
OF_EACH_REQUEST = {"Request-Id", "RateLimit-Remaining", "Content-Length"}


def environ_of(path: str = ME, **meta: str) -> Environ:
    return {**RequestFactory().get(path).environ, "HTTP_HOST": "testserver", **meta}


def ask(application: Application, environ: Environ) -> tuple[str, dict[str, str], Any]:
    """Return status, headers and JSON of the answer, without what each request has of its own."""
    started: list[Any] = []
    with captured_logs() as log, kept_connection():
        content = application(dict(environ), lambda *given: started.extend(given))
        body = b"".join(content)
        getattr(content, "close", lambda: None)()
    status, headers = started
    assert len(headers) == len({name.lower() for name, _ in headers})
    told = json.loads(body)
    shown = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    assert body.decode() == shown  # No spaces, nothing escaped.
    named = dict(headers)
    assert named["Content-Length"] == str(len(body))
    assert told.get("error", {}).pop("request_id", named["Request-Id"]) == named["Request-Id"]
    kept = {name: value for name, value in headers if name not in OF_EACH_REQUEST}
    lines = [{**line, "time": "", "ms": "", "request_id": ""} for line in log.records()]
    for line in lines:
        if status.startswith("400"):  # Refused before Django has looked for the route.
            line["route"] = ""
        line["exception"] = str(line.get("exception"))[-40:]
        line["message"] = line["message"].partition(" req_")[0]
    return status, {**kept, "names": " ".join(sorted(named))}, (told, lines)


def add_header(get_response: Any) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware, planted."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = get_response(request)
        response["Planted"] = "yes"
        return response

    return respond


class Nobody(BasePermission):
    def has_permission(self, *_: Any) -> bool:
        return False


class Never(BaseThrottle):
    def allow_request(self, *_: Any) -> bool:
        return False


class DoorTests(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.api_key, self.api = self.issue()
        self.bearer = f"Bearer {self.api.key}"

    def assertSame(self, status: int, environ: Environ | None = None, **meta: str) -> None:
        """Check that both sides answer this, alike, and log alike."""
        environ = environ or environ_of(**meta)
        self.assertIsNotNone(question_of(cleaned(environ)))
        unused = mock.Mock(side_effect=HANDED_ON)
        door = ask(bounded(Door(unused)), environ)
        self.assertEqual(door[0][:3], str(status), door)
        self.assertEqual(door, ask(bounded(WSGIHandler()), environ))

    def authorized(self, authorization: str, **meta: str) -> Environ:
        return environ_of(HTTP_AUTHORIZATION=authorization, **meta)

    def compare(self) -> None:
        """Check every kind of answer on both sides."""
        test_key, restricted = self.issue(livemode=False)[1], self.restricted()
        for client in (self.api, test_key, restricted):
            self.assertSame(200, self.authorized(f"Bearer {client.key}"))
        for meta in (
            {"REQUEST_METHOD": "HEAD"},
            {"HTTP_ACCEPT": "*/*"},
            {"HTTP_ACCEPT": " ,"},
            {"HTTP_ACCEPT": "x/y;" * 200},
            {"CONTENT_LENGTH": "0"},
            {"CONTENT_LENGTH": "", "CONTENT_TYPE": "text/plain; charset=utf-16"},
            {"HTTP_REQUEST_ID": "mine-1234"},
            {"HTTP_REQUEST_ID": self.api.key},
            {"HTTP_REQUEST_ID": "x\r\ny"},
            {"HTTP_USER_AGENT": ""},
            {"HTTP_USER_AGENT": f"curl {self.api.key}"},
            {"HTTP_X_FORWARDED_FOR": "not an address"},
            {"REMOTE_ADDR": "::ffff:192.0.2.9"},
            {"REMOTE_ADDR": ""},
            {"HTTP_ORIGIN": "https://elsewhere.example"},
            {"HTTP_IF_NONE_MATCH": "*", "HTTP_RANGE": "bytes=0-1"},
            {"HTTP_EXPECT": "100-continue", "HTTP_UPGRADE": "h2c"},
            {"wsgi.url_scheme": "https"},
        ):
            self.assertSame(200, self.authorized(self.bearer, **meta))
        self.assertSame(200, self.authorized(f"bearer  {self.api.key} "))
        for authorization in (
            "",
            "nonsense",
            "Bearer",
            "Bearer ",
            "Basic dXNlcjpwYXNz",
            f"Bearer {self.api.key}x",
            f"Bearer '{self.api.key}'",
            f"{self.bearer}, {self.bearer}",
            f"Token {self.api.key}",
            f"Bearer {new_plaintext(livemode=True)}",
            f"Bearer {self.api.key[:-1]}\u00e9",
            "Bearer \x00",
            "Bearer " + "x" * 30_000,
        ):
            self.assertSame(401, self.authorized(authorization))
        self.assertSame(401)
        self.assertSame(401, HTTP_X_API_KEY=self.api.key)
        self.assertSame(403, self.authorized(f"Bearer {self.bound().key}"))
        ending = self.issue(expires_at=NOON + timedelta(days=1))[1]
        self.assertSame(200, self.authorized(f"Bearer {ending.key}"))  # With its header.

    def bound(self) -> Any:
        return self.issue(allowed_ips=["192.0.2.0/24"])[1]

    def test_door_answers_every_kind_of_request_as_django_does(self):
        self.compare()

    def test_door_answers_a_key_that_is_over_as_django_does(self):
        ending = self.issue(expires_at=NOON + timedelta(days=1))[1]
        rotated = self.rotate(self.api, self.api_key, overlap_seconds=3600)
        self.clock.shift(timedelta(days=1))
        self.assertSame(401, self.authorized(f"Bearer {ending.key}"))
        self.assertSame(401, self.authorized(self.bearer))
        self.assertSame(200, self.authorized(f"Bearer {rotated.key}"))
        revoke(self.api_key, actor=Actor.cli(), reason="test")
        self.assertSame(401, self.authorized(f"Bearer {rotated.key}"))
        self.acme.suspend(actor=Actor.cli(), reason="test")
        self.assertSame(403, self.authorized(f"Bearer {self.issue()[1].key}"))

    def test_door_answers_over_the_rate_limit_as_django_does(self):
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=0)
        self.assertSame(429, self.authorized(self.bearer))
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=None)
        self.assertSame(200, self.authorized(self.bearer))

    def test_door_keeps_the_rules_of_host_scheme_and_proxies_as_django_does(self):
        with override_settings(SECURE_SSL_REDIRECT=True, SECURE_HSTS_SECONDS=3600):
            self.assertSame(400, self.authorized(self.bearer))
            self.assertSame(200, self.authorized(self.bearer, **{"wsgi.url_scheme": "https"}))
        with override_settings(TRUSTED_PROXY_COUNT=1):
            self.assertSame(200, self.authorized(self.bearer, HTTP_X_FORWARDED_FOR="192.0.2.9"))
            self.assertSame(400, self.authorized(self.bearer, HTTP_X_FORWARDED_FOR=""))
            bound = f"Bearer {self.bound().key}"
            self.assertSame(200, self.authorized(bound, HTTP_X_FORWARDED_FOR="192.0.2.9"))
        token = "t" * 32
        with override_settings(GATEWAY_TOKENS=(token.encode(),)):
            said = f"{token} for=192.0.2.9 proto=https"
            self.assertSame(200, self.authorized(bound, HTTP_REACHSCORE_GATEWAY=said))
            self.assertSame(400, self.authorized(bound, HTTP_REACHSCORE_GATEWAY=said[1:]))
            self.assertSame(403, self.authorized(bound))

    def test_door_answers_faults_and_bugs_as_django_does(self):
        for name, target in (("auth_context", Caller), ("require_rate", Caller)):
            for error, status in ((OperationalError, 503), (ZeroDivisionError("why"), 500)):
                with mock.patch.object(target, name, side_effect=error):
                    self.assertSame(status, self.authorized(self.bearer))

    def test_door_takes_nothing_odd(self):
        for odd in (
            environ_of(f"{ME}?require=tests:read"),
            environ_of(f"{ME}/"),
            environ_of("/v1/keys"),
            environ_of(PATH_INFO=f"/{ME}"),
            *(environ_of(REQUEST_METHOD=m) for m in ("POST", "OPTIONS", "get", "TRACE", "QUERY")),
            environ_of(HTTP_ACCEPT="application/json"),
            environ_of(HTTP_ACCEPT="text/html"),
            environ_of(CONTENT_LENGTH="2"),
            environ_of(HTTP_TRANSFER_ENCODING="chunked"),
            environ_of(HTTP_REACHSCORE_SIMULATE=""),
            environ_of(HTTP_COOKIE="sessionid=x"),
            *(environ_of(HTTP_HOST=h) for h in ("", "*", "[::1]", "testserver:80", "evil.example")),
        ):
            self.assertIsNone(question_of(odd), odd)
        with override_settings(ALLOWED_HOSTS=["*", ".api.example", "other.example:5"]):
            for host in ("*", "api.example", ".api.example", "other.example:5"):
                self.assertIsNone(question_of(environ_of(HTTP_HOST=host)), host)

    def test_what_the_door_would_miss_fails_the_comparison(self):
        middleware = [*settings.MIDDLEWARE, f"{__name__}.add_header"]
        for name, planted in (
            ("middleware", override_settings(MIDDLEWARE=middleware)),
            ("permission", self.of_view(permission_classes=[AnyCaller, Nobody])),
            ("throttle", self.of_view(throttle_classes=[RateLimit, Never])),
        ):
            with self.subTest(name), planted, self.assertRaises(AssertionError):
                self.compare()

    def of_view(self, **rules: Any) -> Any:
        return mock.patch.multiple(AuthContextView, **rules)
