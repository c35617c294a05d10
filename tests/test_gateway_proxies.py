"""Through the documented nginx and HAProxy a client cannot forge its address or scheme."""

import http.client
import json
import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.production_server import Database, ProductionServer
from tests.proxies import HAPROXY, NGINX, Proxy, send, start_haproxy, start_nginx

TOKEN, OLD_TOKEN, WRONG = (secrets.token_urlsafe(32) for _ in range(3))
ELSEWHERE = "203.0.113.7"
FORGED = f"{WRONG} for={ELSEWHERE} proto=https".encode()
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed here")

# What a client may send in the hope of being taken for another.
HARMLESS: tuple[tuple[bytes, ...], ...] = (
    (),
    (b"ReachScore-Gateway: " + FORGED,),
    (b"X-Forwarded-For: 203.0.113.7", b"X-Forwarded-Proto: http"),
    (b"X_Forwarded_For: 203.0.113.7", b"X_Forwarded_Proto: http"),
    (b"X-Forwarded-For: \xe9, 203.0.113.7", "User-Agent: Müller/2".encode()),
    (b"Forwarded: for=203.0.113.7;proto=http", b"X-Real-IP: 203.0.113.7"),
)
# One of the two wins: which, a client can choose by the order and by another header, since granian
# takes Content-Type out of its list by putting the last one in its place.
ALIAS = b"ReachScore_Gateway: " + FORGED
ALIASES = (
    (ALIAS,),
    (b"Content-Type: x", ALIAS),
    (ALIAS, b"Content-Type: x"),
    (b"Reachscore-gateway: " + FORGED, b"REACHSCORE_Gateway: " + FORGED),
)
UNHARMED, SPOILED = (200, 403), (400, 400)
MAKE_KEYS = f"""
import json
from accounts.models import Organization, Plan
from audit.actor import Actor
from apikeys.models import ApiKey
acme = Organization(name="Acme", plan=Plan.objects.get(slug="enterprise"))
acme.create(actor=Actor.cli())
print(json.dumps({{
    name: ApiKey(organization=acme, name=name, allowed_ips=[address]).issue(actor=Actor.cli())
    for name, address in (("here", "127.0.0.1"), ("elsewhere", "{ELSEWHERE}"))
}}))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ProductionServer]:
    production = ProductionServer(Database(), workers=1)
    production.environ["GATEWAY_TOKEN"] = f"{TOKEN},{OLD_TOKEN}"
    with production:
        yield production


@pytest.fixture(scope="module")
def keys(server: ProductionServer) -> dict[str, str]:
    """A key that works from this machine alone, and one that works from elsewhere alone."""
    made: dict[str, str] = json.loads(server.manage("shell", "-v0", "-c", MAKE_KEYS))
    return made


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("nginx", marks=needs_nginx),
        pytest.param("nginx that passes underscores", marks=needs_nginx),
        pytest.param("HAProxy", marks=needs_haproxy),
    ],
)
def proxy(request, server, tmp_path_factory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    if request.param == "HAProxy":
        running = start_haproxy(folder, server.port, token=TOKEN)
    else:
        underscores = "on" if "underscores" in request.param else "off"
        ports = [server.port] * 2
        running = start_nginx(folder, ports, token=OLD_TOKEN, underscores=underscores)
    yield running
    running.stop()


def statuses(port: int, keys: dict[str, str], *lines: bytes) -> tuple[int, ...]:
    """Return what the key of this machine and the one of elsewhere are answered."""
    return tuple(send(port, keys[which], *lines)[0] for which in ("here", "elsewhere"))


def test_a_client_behind_a_proxy_spoils_its_own_request_at_most(proxy, keys):
    for lines in HARMLESS:
        assert statuses(proxy.port, keys, *lines) == UNHARMED, lines
    for lines in ALIASES:
        assert statuses(proxy.port, keys, *lines) in (UNHARMED, SPOILED), lines


def test_an_alias_sent_straight_to_the_server_forges_nothing_in_either_order(server, keys):
    true = f"ReachScore-Gateway: {TOKEN} for=127.0.0.1 proto=https".encode()
    orders = [order for lines in ALIASES for order in ((true, *lines), (*lines, true))]
    seen = [statuses(server.port, keys, *lines) for lines in orders]
    assert set(seen) == {UNHARMED, SPOILED}, seen
    for lines, expected in (
        ((true,), UNHARMED),
        ((true.replace(TOKEN.encode(), OLD_TOKEN.encode()),), UNHARMED),
        ((true, true), SPOILED),
        ((true, b"ReachScore-Gateway: \xe9"), SPOILED),
        ((b"ReachScore-Gateway: \xe9",), SPOILED),
        ((ALIAS,), SPOILED),
        # As another proxy would say it; without the gateway's header the API wants HTTPS.
        ((b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: https"), SPOILED),
    ):
        assert statuses(server.port, keys, *lines) == expected, lines


def test_without_the_header_probes_work_and_the_api_wants_https(server, keys):
    assert [send(server.port, "", path=path)[0] for path in ("/healthz", "/readyz")] == [200, 200]
    status, body = send(server.port, keys["here"])
    assert (status, json.loads(body)["error"]["code"]) == (400, "https_required")


@needs_nginx
def test_a_body_over_the_limit_of_nginx_is_answered_as_the_service_answers_a_smaller_one(
    server, keys, tmp_path
):
    def post(port: int, size: int) -> tuple[dict[str, Any], dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Authorization": f"Bearer {keys['here']}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/keys", b"x" * size, headers)
        answer = connection.getresponse()
        assert answer.status == 413
        kept = ("Content-Type", "Cache-Control", "Request-Id")
        shown = {name: answer.headers[name] for name in kept}
        error: dict[str, Any] = json.load(answer)["error"]
        connection.close()
        assert error.pop("request_id") == shown.pop("Request-Id")
        return error, shown

    running = start_nginx(tmp_path, [server.port] * 2, token=TOKEN)
    try:
        own, from_nginx = post(running.port, 70_000), post(running.port, 2_000_000)
        over_plain_http = post(running.plain_port, 2_000_000)
        line = (tmp_path / "reachscore.log").read_text().splitlines()[-1]
    finally:
        running.stop()
    # nginx names the host by its own name, and never as the client has it.
    own[0]["doc_url"] = own[0]["doc_url"].replace("127.0.0.1", "api.example.com")
    assert own == from_nginx == over_plain_http
    assert " POST 413 " in line
    assert line.split()[-1].startswith("req_")


@needs_nginx
def test_nginx_passes_on_of_what_proxies_write_only_what_it_sets(tmp_path):
    sent = [line for lines in (*HARMLESS, *ALIASES) for line in lines]
    sent += [b"X-Forwarded-Host: evil", b"X-Forwarded-Port: 1"]
    with socket.create_server(("127.0.0.1", 0)) as upstream, ThreadPoolExecutor() as pool:
        upstream.settimeout(20)

        def answer() -> bytes:
            with upstream.accept()[0] as connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return head

        running = start_nginx(tmp_path, [upstream.getsockname()[1]] * 2, token=TOKEN)
        try:
            head = pool.submit(answer)
            send(running.port, "key", *sent)
        finally:
            running.stop()
    lines = head.result().decode("latin-1").split("\r\n")
    passed = [line for line in lines if line.upper().startswith(("X-", "X_", "FORW", "REACH"))]
    assert sorted(passed) == [
        f"ReachScore-Gateway: {TOKEN} for=127.0.0.1 proto=https",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: https",
    ]
