"""Tests through the documented nginx and HAProxy: a client cannot forge its address or scheme."""

import http.client
import json
import re
import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.support.production_server import Database, ProductionServer
from tests.support.proxies import HAPROXY, NGINX, Proxy, send, start_haproxy, start_nginx

TOKEN, OLD_TOKEN, STAFF_TOKEN, WRONG = (secrets.token_urlsafe(32) for _ in range(4))
ELSEWHERE = "203.0.113.7"
FORGED = f"{WRONG} for={ELSEWHERE} proto=https".encode()
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed here")

# Headers that a client may send to be taken for another.
HARMLESS: tuple[tuple[bytes, ...], ...] = (
    (),
    (b"ReachScore-Gateway: " + FORGED,),
    (b"X-Forwarded-For: 203.0.113.7", b"X-Forwarded-Proto: http"),
    (b"X_Forwarded_For: 203.0.113.7", b"X_Forwarded_Proto: http"),
    (b"X-Forwarded-For: \xe9, 203.0.113.7", "User-Agent: Müller/2".encode()),
    (b"Forwarded: for=203.0.113.7;proto=http", b"X-Real-IP: 203.0.113.7"),
)
# Of a header and its alias, one wins. A client can choose which, by their order and by another
# header, because granian removes Content-Type from its list by moving the last header there.
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
from apikeys.verbs.issue import issue
acme = Organization(name="Acme", plan=Plan.objects.get(slug="enterprise"))
acme.create(actor=Actor.cli())
print(json.dumps({{
    name: issue(ApiKey(organization=acme, name=name, allowed_ips=[address]), actor=Actor.cli())
    for name, address in (("here", "127.0.0.1"), ("elsewhere", "{ELSEWHERE}"))
}}))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ProductionServer]:
    production = ProductionServer(Database(), workers=1)
    production.environ["GATEWAY_TOKEN"] = f"{TOKEN},{OLD_TOKEN}"
    production.environ |= {"STAFF_SSO": "true", "STAFF_PASSWORD_LOGIN": "false"}
    production.environ["STAFF_GATEWAY_TOKEN"] = STAFF_TOKEN
    with production:
        yield production


@pytest.fixture(scope="module")
def staff(server: ProductionServer) -> None:
    """Make Sam, and Kim whose single sign-on name is sam@corp."""
    make = "from staff.models import User; make = User.objects.create_superuser; make('sam')"
    server.manage("shell", "-v0", "-c", f"{make}; make('kim', sso_name='sam@corp')")


@pytest.fixture(scope="module")
def keys(server: ProductionServer) -> dict[str, str]:
    """Issue a key for this machine's address only, and one for another address only."""
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
    """Return the statuses answered to the key of this machine and to the other one."""
    return tuple(send(port, keys[which], *lines)[0] for which in ("here", "elsewhere"))


def test_forged_headers_behind_a_proxy_spoil_at_most_the_clients_own_request(proxy, keys):
    for lines in HARMLESS:
        assert statuses(proxy.port, keys, *lines) == UNHARMED, lines
    for lines in ALIASES:
        assert statuses(proxy.port, keys, *lines) in (UNHARMED, SPOILED), lines


def test_header_alias_sent_straight_to_the_server_forges_nothing_in_either_order(server, keys):
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
        # The header of another proxy; without the gateway's own, the API wants HTTPS.
        ((b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: https"), SPOILED),
    ):
        assert statuses(server.port, keys, *lines) == expected, lines


def test_request_without_the_gateway_header_is_https_required_and_probes_work(server, keys):
    assert [send(server.port, "", path=path)[0] for path in ("/healthz", "/readyz")] == [200, 200]
    status, body = send(server.port, keys["here"])
    assert (status, json.loads(body)["error"]["code"]) == (400, "https_required")


@needs_nginx
def test_body_over_nginx_limit_gets_the_services_own_413(server, keys, tmp_path):
    def post(port: int, size: int) -> tuple[dict[str, Any], dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Authorization": f"Bearer {keys['here']}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/keys", b"x" * size, headers)
        answer = connection.getresponse()
        assert answer.status == 413
        kept = ("Content-Type", "Cache-Control", "Request-Id")
        shown = {name: answer.headers[name] for name in kept}
        error: dict[str, Any] = json.load(answer)["error"]
        connection.close()
        assert error.pop("request_id") == shown.pop("Request-Id")
        # How much a path takes is the service's to say.
        assert error.pop("message").startswith("The request body is larger than ")
        return error, shown

    running = start_nginx(tmp_path, [server.port] * 2, token=TOKEN)
    try:
        own, from_nginx = post(running.port, 70_000), post(running.port, 2_000_000)
        over_plain_http = post(running.plain_port, 2_000_000)
        line = (tmp_path / "reachscore.log").read_text().splitlines()[-1]
    finally:
        running.stop()
    # In deploy/nginx.conf the name is to be replaced.
    own[0]["doc_url"] = own[0]["doc_url"].replace("api.example/", "api.example.com/")
    assert own == from_nginx == over_plain_http
    assert " POST 413 " in line
    assert line.split()[-1].startswith("req_")


@needs_nginx
def test_nginx_passes_only_the_proxy_headers_that_it_sets(tmp_path):
    sent = [line for lines in (*HARMLESS, *ALIASES) for line in lines]
    sent += [b"X-Forwarded-Host: evil", b"X-Forwarded-Port: 1"]
    with socket.create_server(("127.0.0.1", 0)) as upstream, ThreadPoolExecutor() as pool:
        upstream.settimeout(60)

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


# Names that a provider may send, by the number in the browser's cookie.
NAMES = (
    *("sam", "sam@corp", "kim", "sam mfa=yes", "sam user=kim", "%73am", "sam\t", "s\tam", "", " "),
    *("sam,kim", "säm", "x" * 151, "sam\xa0", '"sam"', "stranger"),
)


@pytest.fixture(scope="module")
def provider() -> Iterator[int]:
    """Start a stand-in for the identity provider: 401, or 200 and a name. Return its port."""

    class Authenticating(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            who = self.headers.get("Cookie", "").partition("who=")[2]
            self.send_response(200 if who else 401)
            if who:
                self.send_header("X-Auth-Request-Email", NAMES[int(who)])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Authenticating) as standing_in:
        Thread(target=standing_in.serve_forever).start()
        yield standing_in.server_port
        standing_in.shutdown()


def staff_names(server: ProductionServer) -> set[str]:
    """Return the names of the staff who logged in."""
    with server.database.connect() as connection:
        rows = connection.execute(
            "SELECT actor_label FROM audit_auditevent WHERE action = 'staff.logged_in'"
        )
        return {name for (name,) in rows}


@needs_nginx
@pytest.mark.parametrize("underscores", ["off", "on"])
def test_single_sign_on_behind_nginx_logs_in_only_whom_the_provider_names(
    server, staff, provider, tmp_path, underscores
):
    running = start_nginx(
        tmp_path,
        [server.port] * 2,
        token=TOKEN,
        staff=(STAFF_TOKEN, provider),
        underscores=underscores,
    )

    given = ""  # The last session.

    def ask(path: str, *lines: bytes, who: str | None = None, session: str = "") -> tuple[int, str]:
        nonlocal given
        number = NAMES.index(who) if who is not None else ""
        cookie = [f"Cookie: {session}; who={number}".encode()]
        with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
            head = [f"GET {path} HTTP/1.0".encode(), b"Host: 127.0.0.1", *cookie, *lines]
            connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            found = re.search("sessionid=[^;]+", str(answer.headers))
            given = found[0] if found else ""
            return answer.status, answer.headers.get("Location", "")

    try:
        login = "/admin/login/"
        signed_in = ask(login, who="sam")
        assert signed_in == (302, "/admin/second_factor/?next=%2Fadmin%2F")
        assert ask(login, who="sam@corp") == signed_in  # The SSO name of kim.
        for name in NAMES[2:]:
            # 500 is nginx' own answer to a name that it cannot parse.
            expected = {"kim": {403}, "stranger": {403}}
            assert ask(login, who=name)[0] in expected.get(name, {400, 500}), name
        sign_in = (302, "https://api.example.com/oauth2/sign_in?rd=/admin/")
        said = f"{WRONG} for=127.0.0.1 proto=https user=kim mfa=yes".encode()
        for spelling in (b"ReachScore-Gateway", b"ReachScore_Gateway", b"ReachScore.Gateway"):
            line = spelling + b": " + said
            for path in (login, "/admin/", "/x/../admin/login/", "//admin/login/", "/%61dmin/"):
                assert ask(path, line) == sign_in, (line, path)
            assert ask(login, line, who="sam") in (signed_in, (400, ""))
        assert ask(login, b"X-Auth-Request-Email: kim", b"Remote-User: kim", who="sam") == signed_in
        page = "/admin/second_factor/set_up/"
        to_log_in = (302, f"{login}?next={page}")
        for other, answered in (("sam@corp", to_log_in), ("kim", to_log_in), (None, sign_in)):
            assert ask(login, who="sam") == signed_in
            sams = given
            assert ask(page, who="sam", session=sams)[0] == 200
            assert ask(page, who=other, session=sams) == answered
            # Without a name nginx sends the request to the provider, and never here.
            still = 200 if other is None else 302
            assert ask(page, who="sam", session=sams)[0] == still
        assert ask("/v1/auth/me", who="sam")[0] == 401
        assert ask("/staff-check", who="sam")[0] == 404
        # A path that nginx and the service normalize differently.
        assert ask("/x/../admin/login/", who="sam")[0] == 400
        assert ask("/admin/../v1/auth/me", who="sam")[0] == 302  # To the log-in.
    finally:
        running.stop()


def test_single_sign_on_header_sent_straight_to_the_server_needs_its_own_token(server, staff):
    def said(token: str, rest: str, name: str = "ReachScore-Gateway") -> bytes:
        return f"{name}: {token} for=127.0.0.1 proto=https{rest}".encode()

    sam, kim = (said(STAFF_TOKEN, f" user={name} mfa=yes") for name in ("sam", "sam@corp"))
    forged = [
        said(token, " user=sam@corp mfa=yes", name)
        for token in (WRONG, TOKEN, OLD_TOKEN)
        for name in ("ReachScore-Gateway", "ReachScore_Gateway", "REACHSCORE_gateway")
    ]
    for line in forged:
        assert send(server.port, "", line, path="/admin/login/")[0] == 400, line
        for both in ((sam, line), (line, sam), (b"Content-Type: x", line, sam)):
            status, body = send(server.port, "", *both, path="/admin/login/")
            assert status in (302, 400), both
            assert STAFF_TOKEN not in body
    dotted = said(STAFF_TOKEN, " user=sam mfa=yes", "ReachScore.Gateway")
    for status, *lines in (
        (302, sam),
        (400, sam, sam),
        (400, sam, b"ReachScore-Gateway: \xe9"),
        (403, said(TOKEN, "")),
        (403, dotted, said(TOKEN, "")),
        (301, dotted),
        (301,),
    ):
        assert send(server.port, "", *lines, path="/admin/login/")[0] == status, lines
    assert send(server.port, "", sam)[0] == 400
    assert staff_names(server) == {"sam"}
    assert send(server.port, "", kim, path="/admin/login/")[0] == 302
    assert staff_names(server) == {"sam", "kim"}
