"""Tests of forward authentication: what gateways ask at /v1/authz/, and what they are told."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple
from unittest import mock

import time_machine
from django.db import OperationalError
from django.test import Client, override_settings

from accounts.models import Organization
from apikeys.models import KeyDay, ScopeGrant
from apikeys.plaintext import new_plaintext
from audit.actor import Actor
from tests.support.captured import captured_logs
from tests.support.cast import Answer, ApiClient, ApiTestCase

TOKEN, WRONG = (hashlib.sha256(name).hexdigest() for name in (b"gateway", b"no"))
FORWARD, NGINX, ENVOY = "/v1/authz/forward", "/v1/authz/nginx", "/v1/authz/envoy"
IDENTITY = tuple(
    f"ReachScore-{name}"
    for name in ("Organization", "Key", "Livemode", "Plan", "Scopes", "Principal")
)
BOTH = "read=tests:read&write=tests:write"
WITH_TOKEN = {"GATEWAY_TOKENS": (TOKEN.encode(),), "AUTHZ_REQUIRES_GATEWAY_TOKEN": True}
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def said(more: str = "", token: str = TOKEN) -> dict[str, str]:
    """Return the header of a gateway."""
    return {"ReachScore-Gateway": f"{token} for=192.0.2.7 proto=http{more}"}


class Case(NamedTuple):
    """What a gateway asks, with a live key that holds tests:read only, and what it is told."""

    code: str  # "" for 200.
    path: str
    headers: dict[str, str] = {}
    field: str | None = None
    method: str = "GET"
    with_token: bool = False


def forwarded(method: str | None, uri: str | None = "/x") -> dict[str, str]:
    told = {"X-Forwarded-Method": method, "X-Forwarded-Uri": uri}
    return {name: value for name, value in told.items() if value is not None}


def original(method: str | None, uri: str | None = "/x") -> dict[str, str]:
    told = {"X-Original-Method": method, "X-Original-URI": uri}
    return {name: value for name, value in told.items() if value is not None}


SCOPE, INVALID, UNKNOWN = "insufficient_scope", "parameter_invalid", "parameter_unknown"
PLACED = "ReachScore-Require"
CASES = [
    # Without a token: the gateway's own query, and its family's headers.
    Case("", FORWARD),
    Case("", NGINX),
    Case("", ENVOY),
    Case("", f"{FORWARD}?require=tests:read"),
    Case("", f"{FORWARD}?require=tests%3Aread&mode=live&style=nginx"),
    Case(SCOPE, f"{FORWARD}?require=tests:write"),
    Case(SCOPE, f"{FORWARD}?require=tests:read,tests:write"),
    *(Case("", f"{FORWARD}?{BOTH}", forwarded(method)) for method in ("GET", "HEAD")),
    *(
        Case(SCOPE, f"{FORWARD}?{BOTH}", forwarded(method))
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "M-SEARCH", "VERSION-CONTROL")
    ),
    Case("", f"{NGINX}?{BOTH}", original("GET")),
    Case(SCOPE, f"{NGINX}?{BOTH}", original("POST")),
    # A side that is left out is shut.
    Case("", f"{FORWARD}?read=tests:read", forwarded("GET")),
    Case(SCOPE, f"{FORWARD}?read=tests:read", forwarded("POST")),
    Case(SCOPE, f"{FORWARD}?write=tests:read", forwarded("GET")),
    # The other family is never looked at, nor is the request's own method.
    Case(INVALID, f"{FORWARD}?{BOTH}", original("GET"), "X-Forwarded-Method"),
    Case(INVALID, f"{NGINX}?{BOTH}", forwarded("GET"), "X-Original-Method"),
    Case(SCOPE, f"{FORWARD}?{BOTH}", forwarded("POST") | original("GET")),
    Case(SCOPE, f"{NGINX}?{BOTH}", original("POST") | forwarded("GET")),
    Case("", f"{FORWARD}?{BOTH}", forwarded("GET") | original("POST", ""), method="DELETE"),
    Case("", ENVOY, {PLACED: "read=tests:read write=tests:write"} | forwarded("POST")),
    # A method that cannot be relied on.
    *(
        Case(INVALID, f"{FORWARD}?{BOTH}", forwarded(method), "X-Forwarded-Method")
        for method in (
            "",
            "get",
            "Get",
            "GET,POST",
            "GET, GET",
            "GET ",
            " GET",
            "G\u00ccT",
            "GET\tX",
        )
    ),
    *(
        Case(INVALID, f"{FORWARD}?{BOTH}", forwarded(method), "X-Forwarded-Method")
        for method in ("A" * 33, "1", "*", "GET;", '"GET"', "-", None)
    ),
    Case("", f"{FORWARD}?require=tests:read", forwarded("odd, odd")),  # It matters to none.
    # A requirement is never ignored.
    *(
        Case(INVALID, f"{FORWARD}?{query}", field=query.partition("=")[0])
        for query in (
            *("require=", "require", "require=,", "require=tests:read,", "require=tests"),
            *("require=tests:read,tests:read", "require=tests:read tests:write"),
            *("require=*", "require=TESTS:READ", "require=tests:read;mode=live", "require=\u00e9"),
            *("read=", "write=tests:reed", "read=%ff", "mode=", "mode=LIVE", "mode=live,test"),
            *("require=tests:read&require=tests:read", "mode=live&mode=live", "style=", "style=x"),
            "require=tests:read&read=tests:read",
        )
    ),
    Case(INVALID, f"{FORWARD}?read=tests:read&write=", field="write"),
    *(
        Case(UNKNOWN, f"{FORWARD}?{query}", field=query.partition("=")[0])
        for query in ("Require=tests:read", "scope=tests:read", "method=GET", "uri=/", "a", "=")
    ),
    Case(UNKNOWN, f"{FORWARD}?require=tests:read&requires=tests:write", field="requires"),
    *(
        Case(UNKNOWN, address, {PLACED: "require=tests:read"}, PLACED)
        for address in (FORWARD, NGINX, f"{FORWARD}?require=tests:read")
    ),
    # Envoy: the query is the client's, the method and the path are the request's own.
    Case("", f"{ENVOY}/tests?require=billing:manage&mode=x&style=nginx"),
    Case("", ENVOY, {PLACED: "require=tests:read mode=live"}, method="POST"),
    Case(SCOPE, f"{ENVOY}/x?require=tests:read", {PLACED: "require=tests:write"}),
    Case("", f"{ENVOY}/x", {PLACED: "read=tests:read write=tests:write"}, method="HEAD"),
    Case(SCOPE, f"{ENVOY}/x", {PLACED: "read=tests:read write=tests:write"}, method="POST"),
    *(
        Case(INVALID, ENVOY, {PLACED: value}, value.partition("=")[0])
        for value in ("require=", "require=tests:read,require=tests:write", "mode=no")
    ),
    *(
        Case(UNKNOWN, ENVOY, {PLACED: value}, name)
        for value, name in (("", ""), ("tests:read", "tests:read"), ("mode=live ", ""))
    ),
    Case(UNKNOWN, ENVOY, {PLACED: "require=tests:read&mode=live style=nginx"}, "style"),
    Case("mode_not_allowed", f"{FORWARD}?mode=test"),
    Case("mode_not_allowed", ENVOY, {PLACED: "mode=test"}),
    # With a token: its header is the only one.
    Case("gateway_token_required", FORWARD, with_token=True),
    Case("gateway_token_required", f"{NGINX}?{BOTH}", original("GET"), with_token=True),
    Case("gateway_token_required", ENVOY, {PLACED: "require=tests:read"}, with_token=True),
    *(
        Case("request_invalid", address, said(" uri=/", WRONG), "ReachScore-Gateway", "GET", True)
        for address in (FORWARD, NGINX, ENVOY, "/v1/authz/x")
    ),
    Case("request_invalid", FORWARD, said(" for=192.0.2.7"), "ReachScore-Gateway", "GET", True),
    *(
        Case("", address, said(more) | forwarded("POST") | original("POST"), with_token=True)
        for address in (f"{FORWARD}?{BOTH}", f"{NGINX}?{BOTH}")
        for more in (" method=GET uri=/a b=c method=POST uri=/", " method=HEAD")
    ),
    Case(SCOPE, f"{NGINX}?{BOTH}", said(" method=POST uri=/ method=GET"), with_token=True),
    Case(SCOPE, f"{NGINX}?require=tests:write", said(" uri=/"), with_token=True),
    *(
        Case(INVALID, f"{FORWARD}?{BOTH}", said(more), field, "GET", True)
        for more, field in (
            *(("", "ReachScore-Gateway"), (" method=get", "ReachScore-Gateway")),
            *(
                (" method= uri=/", "ReachScore-Gateway"),
                (" uri=/ method=GET", "ReachScore-Gateway"),
            ),
            (" method=GET method=GET", "method"),
        )
    ),
    *(
        Case(UNKNOWN, f"{FORWARD}?require=tests:read", said(f" {name}={value}"), name, "GET", True)
        for name, value in (
            *(("require", "tests:read"), ("read", "tests:read"), ("mode", "live"), ("x", "1")),
            *(("Method", "GET"), ("user", "sam"), ("", "")),
        )
    ),
    *(
        Case(UNKNOWN, address, said(" uri=/") | {PLACED: "require=tests:read"}, PLACED, "GET", True)
        for address in (FORWARD, ENVOY)
    ),
    *(
        Case(UNKNOWN, ENVOY, said(f" {name}=/x"), name, "GET", True)
        for name in ("method", "uri", "style")
    ),
    Case("", ENVOY, said(" require=tests:read mode=live"), method="PUT", with_token=True),
    Case(SCOPE, ENVOY, said(" read=tests:read write=tests:write"), None, "PUT", True),
    Case(INVALID, ENVOY, said(" require=tests:read read=tests:read"), "require", "GET", True),
    # A header with a token, but no token is set: what it requires would be ignored.
    Case("request_invalid", ENVOY, said(" require=tests:write"), "ReachScore-Gateway"),
    Case("request_invalid", FORWARD, said(), "ReachScore-Gateway"),
    *(Case("resource_not_found", f"/v1/authz/{rest}") for rest in ("", "x", "forward/", "nginx/x")),
]


class ForwardAuthTests(ApiTestCase):
    def setUp(self) -> None:
        self.api_key, self.key = self.issue(scopes=["tests:read"])
        self.key.raise_request_exception = False

    def ask(self, case: Case) -> Answer:
        with override_settings(**(WITH_TOKEN if case.with_token else {})):
            return self.key.generic(case.method, case.path, headers=case.headers)

    def assertPassed(self, answer: Answer) -> None:
        self.assertEqual((answer.status_code, answer.content), (200, b""), answer.content)
        for name in IDENTITY:
            self.assertIn(name, answer.headers)

    def assertReason(self, answer: Answer, status: int, code: str, **field: Any) -> None:
        self.assertRefused(answer, status, code, **field)
        self.assertEqual(answer["ReachScore-Reason"], code)
        for name in IDENTITY:
            self.assertNotIn(name, answer.headers)

    def test_each_question_is_answered_as_its_address_reads_it(self):
        statuses = {SCOPE: 403, "mode_not_allowed": 403, "gateway_token_required": 403, "": 200}
        statuses["resource_not_found"] = 404
        for case in CASES:
            with self.subTest(case):
                answer = self.ask(case)
                if case.code:
                    status = statuses.get(case.code, 400)
                    self.assertReason(answer, status, case.code, field=case.field or None)
                else:
                    self.assertPassed(answer)

    def test_success_carries_the_whole_identity_and_nothing_a_customer_typed(self):
        self.acme.change_plan(actor=Actor.cli(), reason="t", requests_per_minute=60)
        api_key, key = self.issue(name="Mail's \u00e9\u4e2d", scopes=["tests:write", "tests:read"])
        answer = key.get(
            FORWARD, headers={"Host": "sibling.internal", "Request-Id": "req_by_client"}
        )
        self.assertPassed(answer)
        shown = dict(answer.headers)
        principal = json.loads(base64.urlsafe_b64decode(shown.pop("ReachScore-Principal")))
        self.assertEqual(int(shown.pop("RateLimit-Reset")) % 60, 0)
        self.assertEqual(
            principal,
            {
                "version": 1,
                "organization": self.acme.pk,
                "key": api_key.pk,
                "livemode": True,
                "plan": "team",
                "scopes": ["tests:read", "tests:write"],
            },
        )
        expected = {
            "ReachScore-Organization": self.acme.pk,
            "ReachScore-Key": api_key.pk,
            "ReachScore-Livemode": "true",
            "ReachScore-Plan": "team",
            "ReachScore-Scopes": "tests:read tests:write",
            "RateLimit-Limit": "60",
            "RateLimit-Remaining": "59",
            "Cache-Control": "no-store",
            "Content-Length": "0",
            "Request-Id": "req_by_client",
        }
        self.assertEqual({name: shown.pop(name) for name in expected}, expected)
        usual = key.get("/v1/auth/me").headers
        self.assertEqual(shown, {name: usual[name] for name in shown})  # Of the browser's security.
        self.assertNotIn("Content-Type", shown)
        sandbox = self.issue(livemode=False)[1].get(f"{NGINX}?mode=test")
        self.assertEqual(sandbox["ReachScore-Livemode"], "false")

    def test_question_costs_one_query_and_one_request_and_uses_the_required_scope(self):
        api_key, key = self.issue(scopes=["tests:read", "tests:write"])
        path = f"{FORWARD}?{BOTH}"
        key.get(path, headers=forwarded("GET"))
        self.assertPassed(key.get(FORWARD))
        with self.assertNumQueries(1):
            self.assertPassed(key.get(path, headers=forwarded("GET")))
        for refused in (f"{FORWARD}?nope", f"{FORWARD}?mode=no", f"{FORWARD}?{BOTH}"):
            with self.assertNumQueries(0):
                self.assertEqual(key.get(refused).status_code, 400)
        self.assertEqual(KeyDay.objects.get(api_key=api_key).requests, 3)
        used = ScopeGrant.objects.filter(api_key=api_key, last_exercised_on__isnull=False)
        self.assertEqual([grant.scope for grant in used], ["tests:read"])

    def test_refusals_of_the_key_are_those_of_everywhere_with_their_reason(self):
        Organization.objects.filter(pk=self.acme.pk).update(requests_per_minute=2)
        elsewhere = self.issue(allowed_ips=["192.0.2.1"])[1]
        unknown = ApiClient(new_plaintext(livemode=True))
        with time_machine.travel(NOON, tick=False):
            for _ in range(2):
                self.assertPassed(self.key.get(FORWARD))
            for client, status, code, header in (
                (Client(), 401, "api_key_missing", "WWW-Authenticate"),
                (unknown, 401, "api_key_invalid", "WWW-Authenticate"),
                (elsewhere, 403, "ip_not_allowed", "Cache-Control"),
                (self.key, 429, "rate_limit_exceeded", "Retry-After"),
            ):
                for path in (FORWARD, ENVOY, NGINX):
                    answer = client.get(path)
                    self.assertReason(answer, status, code)
                    usual = client.get("/v1/auth/me")
                    self.assertEqual(answer[header], usual[header])
                    errors = [a.json()["error"] | {"request_id": ""} for a in (answer, usual)]
                    self.assertEqual(*errors)
                    names = {n for n in answer.headers if n != "ReachScore-Reason"}
                    self.assertEqual(names, set(usual.headers))
            # Scopes before the limit, as everywhere.
            self.assertReason(self.key.get(f"{FORWARD}?require=tests:write"), 403, SCOPE)

    @time_machine.travel(NOON, tick=False)  # A 429 names the seconds that are left of the minute.
    def test_style_nginx_answers_401_or_403_only_and_keeps_reason_and_envelope(self):
        Organization.objects.filter(pk=self.acme.pk).update(requests_per_minute=0)
        lost = mock.patch(
            "apikeys.authentication.admission.find_and_count", side_effect=OperationalError
        )
        bug = mock.patch("apikeys.authentication.forward.exercise", side_effect=RuntimeError)
        for more, code, headers, broken in (
            ("", "rate_limit_exceeded", {}, None),
            ("", "temporarily_unavailable", {}, lost),
            ("&require=no", INVALID, {}, None),
            ("&nope=1", UNKNOWN, {}, None),
            ("", "api_key_in_url", {"X-Original-URI": f"/?k={self.key.key}"}, None),
            ("", "request_too_large", {"Content-Length": str(2**20 + 1)}, None),
        ):
            with self.subTest(code), broken or mock.MagicMock():
                plain = self.key.get(f"{NGINX}?{more}", headers=headers)
                answer = self.key.get(f"{NGINX}?style=nginx{more}", headers=headers)
                self.assertEqual((answer.status_code, answer["ReachScore-Reason"]), (403, code))
                self.assertGreater(plain.status_code, 399)
                self.assertNotIn(plain.status_code, (401, 403))
                self.assertEqual(plain["ReachScore-Reason"], code)
                errors = [a.json()["error"] | {"request_id": ""} for a in (answer, plain)]
                self.assertEqual(*errors)
                self.assertEqual(set(answer.headers), set(plain.headers))
        Organization.objects.filter(pk=self.acme.pk).update(requests_per_minute=None)
        with bug, self.assertLogs("reachscore.api", "ERROR"):
            answer = self.key.get(f"{NGINX}?style=nginx")
        self.assertEqual((answer.status_code, answer["ReachScore-Reason"]), (403, "internal_error"))
        self.assertReason(Client().get(f"{NGINX}?style=nginx"), 401, "api_key_missing")

    def test_host_and_plain_http_do_not_matter_and_no_method_or_body_is_refused(self):
        with override_settings(SECURE_SSL_REDIRECT=True):
            for host in ("sibling.internal:8080", "evil", "a b", "", "\u00e9"):
                for path in (FORWARD, f"{ENVOY}/a"):
                    self.assertPassed(self.key.get(path, headers={"Host": host}))
        for method in ("HEAD", "POST", "PUT", "OPTIONS", "TRACE", "PROPFIND", "get", "\u00c9"):
            for path in (FORWARD, NGINX, f"{ENVOY}/a"):
                body = b"" if method in ("HEAD", "TRACE") else b"{" * 70_000
                answer = self.key.generic(method, path, body, content_type="text/x-no")
                self.assertPassed(answer)
        answer = self.key.post(ENVOY, b"x" * (2**20 + 1), content_type="text/plain")
        self.assertReason(answer, 413, "request_too_large")

    def test_key_in_the_clients_url_is_refused_wherever_it_stands(self):
        key = self.key.key
        encoded = key.replace("_", "%5F").replace("rk", "%72k")
        twice = encoded.replace("%", "%25")
        for hidden in (key, encoded, twice, f"{key[:20]}+{key[20:]}", key[:40]):
            for uri in (f"/x?token={hidden}", f"/{hidden}/x", f"//a/../{hidden}", f"/x?{hidden}=1"):
                for path, headers in (
                    (FORWARD, forwarded("GET", uri)),
                    (NGINX, original("GET", uri)),
                    (f"{ENVOY}{uri}", {}),
                ):
                    if hidden != key[:20] + "+" + key[20:] or "?" in uri:
                        answer = self.key.get(path, headers=headers)
                        self.assertReason(answer, 400, "api_key_in_url")
                with override_settings(**WITH_TOKEN):
                    answer = self.key.get(FORWARD, headers=said(f" method=GET uri={uri}"))
                    self.assertReason(answer, 400, "api_key_in_url")
        # Another service's own parameters are its own affair.
        for uri in ("/x?token=abc&key=1&api_key=2&access_token=3", "/rk_live_", "?", ""):
            self.assertPassed(self.key.get(f"{ENVOY}{uri}"))
            self.assertPassed(self.key.get(NGINX, headers=original(None, uri or "/")))
        # As granian passes a value with a byte of 0x80 or above.
        answer = self.key.get(FORWARD, headers=forwarded("GET", ""))
        self.assertReason(answer, 400, INVALID, field="X-Forwarded-Uri")

    def test_path_behind_envoy_may_hold_anything(self):
        for path in (
            "/",
            "//",
            "/../../v1/keys",
            "/%2f..%2F",
            "/\n/a",
            "/\u00ff\u00fe",
            "/a" * 5000,
        ):
            raw = f"/v1/authz/envoy{path}"
            self.assertPassed(self.key.get("/", PATH_INFO=raw, QUERY_STRING="%ff=%00&\x00"))
        for path in ("/v1/authz/envoyx", "/v1/authz/../authz/envoy", "/v1/authz//envoy/a"):
            answer = self.key.get("/", PATH_INFO=path)
            self.assertReason(answer, 404, "resource_not_found")
        self.assertEqual(self.key.get("/v1/authz").status_code, 404)

    def test_nothing_is_rehearsed_for_a_gateway(self):
        """A test key could otherwise make a gateway believe that this service is down."""
        sandbox = self.issue(livemode=False)[1]
        for code in ("temporarily_unavailable", "method_not_allowed", "nonsense"):
            for client in (sandbox, self.key):
                for path in (FORWARD, NGINX, ENVOY):
                    self.assertPassed(client.simulate(code, path))

    def test_address_is_the_one_that_the_gateway_names(self):
        here = self.issue(allowed_ips=["192.0.2.7"])[1]
        elsewhere = self.issue(allowed_ips=["192.0.2.8"])[1]
        with override_settings(**WITH_TOKEN):
            for path, more in ((FORWARD, " uri=/"), (ENVOY, "")):
                headers = said(more) | {"X-Forwarded-For": "192.0.2.8"}
                self.assertPassed(here.get(path, headers=headers))
                self.assertReason(elsewhere.get(path, headers=headers), 403, "ip_not_allowed")
        with override_settings(**(WITH_TOKEN | {"AUTHZ_REQUIRES_GATEWAY_TOKEN": False})):
            headers = {"X-Forwarded-For": "192.0.2.7"} | forwarded("GET")
            self.assertReason(here.get(FORWARD, headers=headers), 403, "ip_not_allowed")
            self.assertPassed(self.key.get(FORWARD, headers=headers))
            # Nothing else is believed: without the token the method is unknown.
            answer = self.key.get(f"{FORWARD}?{BOTH}", headers=headers)
            self.assertReason(answer, 400, INVALID, field="ReachScore-Gateway")
            answer = self.key.get(ENVOY, headers={PLACED: "require=tests:read"})
            self.assertReason(answer, 400, UNKNOWN, field=PLACED)
        with override_settings(TRUSTED_PROXY_COUNT=1):
            self.assertPassed(here.get(FORWARD, headers={"X-Forwarded-For": "192.0.2.7"}))

    def test_reference_does_not_list_what_only_gateways_call(self):
        document = Client().get("/v1/openapi.json").json()
        self.assertFalse([path for path in document["paths"] if "authz" in path])

    def test_request_log_names_route_and_caller_but_no_path(self):
        with captured_logs() as logs:
            self.key.get(f"{ENVOY}/secret-path?a=secret-query", headers={PLACED: "mode=live"})
        (record,) = logs.records("reachscore.request")
        self.assertEqual((record["status"], record["key"]), (200, self.api_key.pk))
        self.assertNotIn("secret", logs.getvalue())
