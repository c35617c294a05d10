"""Tests of deploy/gateways/: nginx, Caddy and HAProxy run, the questions of the others replayed."""

import base64
import json
import math
import secrets
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.demo_server import free_port
from tests.support.gateways import PROGRAMS, Answer, Sibling, ask, gateway
from tests.support.production_server import Database, ProductionServer
from tests.support.waiting import until

TOKEN = secrets.token_urlsafe(32)
SAID = f"ReachScore-Gateway: {TOKEN} for=192.0.2.7 proto=https"
MAKE_KEYS = """
import json
from accounts.models import Organization, Plan
from apikeys.models import ApiKey
from apikeys.verbs.issue import issue
from audit.actor import Actor
acme, busy = (Organization(name=n, plan=Plan.objects.get(slug="team")) for n in ("Acme", "Busy"))
for organization in (acme, busy):
    organization.create(actor=Actor.cli())
Organization.objects.filter(pk=acme.pk).update(requests_per_minute=100_000)
Organization.objects.filter(pk=busy.pk).update(requests_per_minute=1)
made = {}
for name, organization, scopes in (
    ("owner", acme, None),
    ("reader", acme, ["tests:read", "domains:read"]),
    ("busy", busy, None),
    ("cached", acme, None),
    *((f"revoked by {gateway}", acme, None) for gateway in ("nginx", "Caddy", "HAProxy")),
):
    key = ApiKey(organization=organization, name=name, **({"scopes": scopes} if scopes else {}))
    made[name] = [issue(key, actor=Actor.cli()), key.pk, organization.pk]
print(json.dumps(made))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ProductionServer]:
    production = ProductionServer(Database(), workers=2)
    production.environ["GATEWAY_TOKEN"] = TOKEN
    with production:
        yield production


@pytest.fixture(scope="module")
def keys(server: ProductionServer) -> dict[str, list[str]]:
    """Return the plaintext, the key's id and the organization's id, by name."""
    made: dict[str, list[str]] = json.loads(server.manage("shell", "-v0", "-c", MAKE_KEYS))
    return made


@pytest.fixture(scope="module")
def sibling() -> Iterator[Sibling]:
    running = Sibling()
    yield running
    running.stop()


def names() -> list[Any]:
    return [
        pytest.param(name, marks=pytest.mark.skipif(not program, reason=f"{name} is not installed"))
        for name, program in PROGRAMS.items()
    ]


class Front:
    """A gateway that is asked, and what came through to the service behind it."""

    def __init__(self, name: str, port: int, sibling: Sibling, keys: dict[str, list[str]]) -> None:
        self.name, self.port, self.sibling, self.keys = name, port, sibling, keys

    def ask(
        self, who: str, method: str, path: str, *lines: str | bytes, body: bytes = b""
    ) -> tuple[Answer, list[dict[str, Any]]]:
        self.sibling.take()
        key = self.keys[who][0] if who else ""
        answer = ask(self.port, method, path, *lines, key=key, body=body)
        return answer, self.sibling.take()

    def identity(self, who: str, scopes: str) -> dict[str, str]:
        _, key, organization = self.keys[who]
        told = {"organization": organization, "key": key, "livemode": True, "plan": "team"}
        principal = {"version": 1, **told, "scopes": scopes.split()}
        encoded = json.dumps(principal, separators=(",", ":")).encode()
        return {
            "reachscore-organization": organization,
            "reachscore-key": key,
            "reachscore-livemode": "true",
            "reachscore-plan": "team",
            "reachscore-scopes": scopes,
            "reachscore-principal": base64.urlsafe_b64encode(encoded).decode(),
        }


@pytest.fixture(scope="module", params=names())
def front(request, server, keys, sibling, tmp_path_factory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("gateway")
    ports = {"service": server.port, "sibling": sibling.port}
    with gateway(request.param, folder, **ports, token=TOKEN) as port:
        yield Front(request.param, port, sibling, keys)


SPELLINGS = (
    *("ReachScore-{}", "ReachScore_{}", "ReachScore.{}", "ReachScore~{}", "REACHSCORE-{}"),
    "reachscore_{}",
)
FORGED = [
    f"{spelling.format(name)}: forged"
    for spelling in SPELLINGS
    for name in ("Organization", "Key", "Livemode", "Plan", "Scopes", "Principal", "Reason")
]
OTHERS = [f"{spelling.format('Require')}: require=tests:read" for spelling in SPELLINGS]
READER = "tests:read domains:read"


def test_service_behind_a_gateway_sees_our_identity_and_nothing_else_of_it(front):
    for lines in ((), FORGED, [*FORGED, *OTHERS, "ReachScore-Simulate: rate_limit_exceeded"]):
        for method in ("GET", "HEAD"):
            answer, seen = front.ask("reader", method, "/v1/tests/a?b=c%2f..&require=no", *lines)
            assert (answer.status, answer.body) == (200, b""), answer
            (request,) = seen
            assert (request["method"], request["path"]) == (
                method,
                "/v1/tests/a?b=c%2f..&require=no",
            )
            passed = [(n, v) for n, v in request["headers"] if n.startswith("reachscore")]
            assert sorted(passed) == sorted(front.identity("reader", READER).items())
            assert "forged" not in str(request)
            assert "rk_live_" not in str(request)
            if front.name != "Caddy":
                assert answer.headers["RateLimit-Limit"] == "100000"


def test_refused_request_is_told_why_and_never_reaches_the_service(front):
    key = front.keys["owner"][0]
    for who, method, path, lines, status, code in (
        ("", "GET", "/v1/tests", FORGED, 401, "api_key_missing"),
        ("", "GET", "/v1/tests", ["Authorization: Bearer x"], 401, "api_key_invalid"),
        ("reader", "POST", "/v1/tests", FORGED, 403, "insufficient_scope"),
        ("reader", "DELETE", "/v1/tests/1", [], 403, "insufficient_scope"),
        ("owner", "GET", f"/v1/tests?k={key}", [], 400, "api_key_in_url"),
        ("owner", "GET", f"/v1/tests/%72k{key[2:]}", [], 400, "api_key_in_url"),
        ("owner", "GET", "/v1/other", [], 404, ""),
        ("", "GET", "/v1/other", FORGED, 404, ""),
        ("owner", "GET", "/v1/tests-admin", [], 404, ""),
    ):
        answer, seen = front.ask(who, method, path, *lines)
        assert (answer.status, answer.code, seen) == (status, code, []), (path, answer)
        assert ("WWW-Authenticate" in answer.headers) == (
            status == 401 or (status == 403 and front.name != "nginx")
        )
        if code:
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Content-Type"] == "application/json"


def test_client_over_its_limit_gets_429_with_retry_after(front):
    for _ in range(3):  # The minute may turn.
        answer, seen = front.ask("busy", "GET", "/v1/tests")
        if answer.status != 200:
            break
    assert (answer.status, answer.code, seen) == (429, "rate_limit_exceeded", [])
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["RateLimit-Remaining"] == "0"


def test_forged_method_of_either_family_opens_nothing(front):
    uri = ("X-Forwarded-Uri: /", "X-Original-URI: /")
    for name in (
        *("X-Forwarded-Method", "X-Original-Method", "X_Forwarded_Method", "X_Original_Method"),
        *("X-HTTP-Method-Override", "X.Forwarded.Method"),
    ):
        for method in ("POST", "PUT", "DELETE"):
            answer, seen = front.ask("reader", method, "/v1/tests", f"{name}: GET", *uri)
            assert (answer.status, seen) == (403, []), (name, answer)
        answer, seen = front.ask("reader", "GET", "/v1/tests", f"{name}: POST", *uri)
        assert (answer.status, len(seen)) == (200, 1), (name, answer)
    wrong = secrets.token_urlsafe(32)
    for said in (f"{wrong} for=192.0.2.7 proto=https method=GET uri=/", f"{TOKEN[:9]} method=GET"):
        for spelling in SPELLINGS:
            answer, seen = front.ask(
                "reader", "POST", "/v1/tests", f"{spelling.format('Gateway')}: {said}"
            )
            assert answer.status in (400, 403), answer
            assert seen == []
    for method in ("get", "GET\tx", "G=T", "GET%20"):
        answer, seen = front.ask("reader", method, "/v1/tests")
        assert answer.status >= 400
        assert seen == []


def test_path_that_can_be_read_in_two_ways_is_not_passed_on(front):
    for path in (
        *(
            "/v1/tests/../tests",
            "/v1/other/../tests/a",
            "/v1/tests/..",
            "/v1/./tests",
            "/v1//tests",
        ),
        *(
            "/v1/tests%2f..",
            "/v1/tests/%2e%2e/other",
            "/v1/tests/%2E/x",
            "/v1/tests/a%5Cb",
            "//v1/tests",
        ),
        *("/v1/tests/..;/x", "/v1/tests/..%2Fother?x", "/v1/other%2F..%2Ftests", "/v1/tests/a\\b"),
    ):
        for who in ("owner", ""):
            answer, seen = front.ask(who, "GET", path)
            assert (answer.status, seen) == (400, []), (path, answer)


def test_body_of_a_megabyte_reaches_the_service_whole(front):
    for size in (1, 1_000_000):
        answer, (request,) = front.ask("owner", "POST", "/v1/tests", body=b"x" * size)
        assert (answer.status, request["body"]) == (200, size)
    answer, seen = front.ask("", "POST", "/v1/tests", body=b"x" * 1_000_000)
    assert (answer.status, seen) == (401, [])


def test_no_request_begun_after_a_revocation_was_answered_passes(front, server):
    plaintext, key_id, _ = front.keys[f"revoked by {front.name}"]
    answers: list[tuple[float, int]] = []
    ends_at = math.inf

    def load(_: int) -> None:
        while time.monotonic() < ends_at:
            began = time.monotonic()
            status = ask(front.port, "GET", "/v1/tests", key=plaintext).status
            answers.append((began, status))

    with ThreadPoolExecutor(4) as pool:
        burst = [pool.submit(load, number) for number in range(4)]
        try:
            until(lambda: len(answers) >= 40)
            owner = front.keys["owner"][0]
            gone = ask(server.port, "DELETE", f"/v1/keys/{key_id}", SAID, key=owner)
            revoked_at, after = time.monotonic(), len(answers)
            until(lambda: len(answers) >= after + 60)
        finally:
            ends_at = 0.0
        for done in burst:
            done.result()
    assert gone.status == 200
    assert {status for began, status in answers if began > revoked_at} == {401}
    assert {status for _, status in answers} == {200, 401}
    assert sum(began > revoked_at for began, _ in answers) > 30


def test_client_that_reaches_the_service_itself_gets_no_further_than_a_gateway(server, keys):
    key = keys["owner"][0]
    for method, path, lines, body, status, reason in (
        ("GET", "/v1/authz/forward", [], b"", 403, "gateway_token_required"),
        (
            "GET",
            "/v1/authz/envoy/x",
            ["ReachScore-Require: mode=live"],
            b"",
            403,
            "gateway_token_required",
        ),
        ("GET", "/v1/authz/nginx", [SAID, "ReachScore_Gateway: x"], b"", 400, "request_invalid"),
        ("GET", "/v1/authz/nginx", [SAID, SAID], b"", 400, "request_invalid"),
        ("GET", "/v1/authz/forward", [f"{SAID} uri=/\u00e9"], b"", 400, "request_invalid"),
        *(
            ("TRACE", f"/v1/authz/{name}", [SAID], b"", 200, None)
            for name in ("forward", "envoy/a")
        ),
        ("PROPFIND", "/v1/authz/envoy/%ff%00/../..//a", [SAID], b"", 200, None),
        ("HEAD", "/v1/authz/nginx", [SAID], b"", 200, None),
        ("POST", "/v1/authz/forward", [SAID], b"x" * 2**20, 200, None),
        ("POST", "/v1/authz/forward", [SAID], b"x" * (2**20 + 1), 413, "request_too_large"),
        ("GET", f"/v1/authz/envoy/{key}", [SAID], b"", 400, "api_key_in_url"),
    ):
        answer = ask(server.port, method, path, *lines, key=key, body=body)
        assert (answer.status, answer.headers["ReachScore-Reason"]) == (status, reason), path
        assert (answer.headers["ReachScore-Key"] is None) == (status != 200)


@pytest.mark.parametrize("name", names())
def test_nothing_passes_while_the_service_does_not_answer(name, sibling, keys, tmp_path):
    with gateway(name, tmp_path, service=free_port(), sibling=sibling.port, token=TOKEN) as port:
        sibling.take()
        answer = ask(port, "GET", "/v1/tests", *FORGED, key=keys["owner"][0])
    assert (answer.status, sibling.take()) == (502 if name == "Caddy" else 503, [])


@pytest.mark.skipif(not PROGRAMS["HAProxy"], reason="HAProxy is not installed")
def test_nothing_passes_haproxy_if_the_lua_file_fails(server, sibling, keys, tmp_path):
    ports = {"service": server.port, "sibling": sibling.port}
    broken = [("core.httpclient()", "broken()")]
    with gateway("HAProxy", tmp_path, **ports, token=TOKEN, changed=broken) as port:
        sibling.take()
        answer = ask(port, "GET", "/v1/tests", *FORGED, key=keys["owner"][0])
    assert (answer.status, sibling.take()) == (503, [])


def test_client_cannot_have_the_gateway_drop_our_headers_or_open_a_tunnel(front):
    """What Connection names is dropped by some gateways; a tunnel would carry further requests."""
    named = ", ".join(("close", *front.identity("reader", READER)))
    for lines in (
        [f"Connection: {named}"],
        ["Connection: ReachScore-Livemode, ReachScore-Gateway", "Connection: Authorization"],
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAA"],
        ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
        [f"Proxy-Connection: {named}", f"Keep-Alive: {named}", f"TE: trailers, {named}"],
    ):
        answer, seen = front.ask("reader", "GET", "/v1/tests", *lines)
        for request in seen:
            passed = [(n, v) for n, v in request["headers"] if n.startswith("reachscore")]
            assert sorted(passed) == sorted(front.identity("reader", READER).items())
            assert "upgrade" not in dict(request["headers"])
            assert "reachscore" not in dict(request["headers"]).get("connection", "").lower()
        assert answer.status in (200, 400, 401)
        assert len(seen) == (answer.status == 200)


@pytest.mark.skipif(not PROGRAMS["nginx"], reason="nginx is not installed")
def test_verdict_is_not_kept_by_a_cache_that_reads_cache_control(server, sibling, keys, tmp_path):
    ports = {"service": server.port, "sibling": sibling.port}
    cached = (
        (
            "upstream tests_api",
            f"proxy_cache_path {tmp_path}/c keys_zone=c:1m;\nupstream tests_api",
        ),
        (
            "# Never proxy_cache here: a revoked key would live on.",
            "proxy_cache c; proxy_cache_key $http_authorization; proxy_cache_valid any 5m;",
        ),
    )
    plaintext, key_id, _ = keys["cached"]
    with gateway("nginx", tmp_path, **ports, token=TOKEN, changed=cached) as port:
        statuses = [ask(port, "GET", "/v1/tests", key=plaintext).status for _ in range(3)]
        ask(server.port, "DELETE", f"/v1/keys/{key_id}", SAID, key=keys["owner"][0])
        statuses += [ask(port, "GET", "/v1/tests", key=plaintext).status for _ in range(2)]
    assert statuses == [200, 200, 200, 401, 401]


@pytest.mark.skipif(not PROGRAMS["HAProxy"], reason="HAProxy is not installed")
def test_request_over_http_2_is_judged_by_the_same_rules(server, sibling, keys, tmp_path):
    """HAProxy speaks it without TLS, too, and then sees a whole URL as the path."""
    forged = ["--header", "reachscore_key: forged", "--header", "connection: reachscore-key"]
    post = ["--request", "POST", "--header", "x-forwarded-method: GET"]
    command = ["curl", "--silent", "--http2-prior-knowledge", "--path-as-is", "--max-time", "60"]
    command += ["--output", "/dev/null", "--write-out", "%{http_code} %{http_version}"]
    command += ["--header", f"Authorization: Bearer {keys['reader'][0]}"]
    ports = {"service": server.port, "sibling": sibling.port}
    with gateway("HAProxy", tmp_path, **ports, token=TOKEN) as port:
        front = Front("HAProxy", port, sibling, keys)
        for path, more, status, passes in (
            ("/v1/tests", [], "200", 1),
            ("/v1/tests?a=//b", forged, "200", 1),
            ("/v1/tests", post, "403", 0),
            ("/v1/tests/../tests", [], "400", 0),
            ("/v1/tests%2f..", [], "400", 0),
        ):
            sibling.take()
            asked = [*command, *more, f"http://127.0.0.1:{port}{path}"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            seen = sibling.take()
            assert (done.stdout, len(seen)) == (f"{status} 2", passes), (path, more)
            for request in seen:
                passed = [(n, v) for n, v in request["headers"] if n.startswith("reachscore")]
                assert sorted(passed) == sorted(front.identity("reader", READER).items())
