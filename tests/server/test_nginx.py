"""Tests behind the documented nginx: slow clients, rolling restarts, and refusals that arrive."""

import gzip
import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.key_server import KeyServer, Scanner
from tests.support.production_server import PROXIED, Database, ProductionServer
from tests.support.proxies import NGINX, Proxy, send, start_nginx
from tests.support.waiting import until
from web.errors.refusals import RETRY_AFTER_SECONDS

IS_LOCKED = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")


@pytest.fixture(scope="module")
def scanner() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def instances(scanner) -> Iterator[list[ProductionServer]]:
    first = ProductionServer(Database())
    first.environ |= scanner.variables
    with first, ProductionServer(first.database, like=first) as second:
        yield [first, second]


@pytest.fixture(scope="module")
def proxy(instances, tmp_path_factory) -> Iterator[Proxy]:
    ports = [instance.port for instance in instances]
    running = start_nginx(tmp_path_factory.mktemp("nginx"), ports)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def key(instances: list[ProductionServer]) -> str:
    organization = instances[0].manage("create_organization", "Acme", "--plan", "enterprise")
    return instances[0].manage("issue_api_key", organization, "--name", "CI")


def test_slow_clients_do_not_stop_the_others(proxy, key):
    # More clients than the threads of all workers of both instances.
    stop = threading.Event()

    def trickle() -> None:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as slow:
            slow.sendall(
                b"POST /v1/keys HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer " + key.encode() + b"\r\nContent-Length: 1000\r\n\r\n"
            )
            while not stop.wait(0.1):
                slow.sendall(b" ")

    slow_clients = [threading.Thread(target=trickle) for _ in range(12)]
    for client in slow_clients:
        client.start()
    try:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(lambda _: proxy.ask("/v1/auth/me", key), range(40)))
        took = time.monotonic() - began
    finally:
        stop.set()
    for client in slow_clients:
        client.join()
    assert statuses == [200] * 40
    assert took < 30, took  # As long as one that waits for a slow client.


def test_rolling_restart_under_load_loses_no_request(proxy, instances, key):
    instances[0].database.run("UPDATE accounts_plan SET active_keys_limit = NULL")
    done: Counter[int | str] = Counter()
    stop = threading.Event()

    def load(number: int) -> None:
        while not stop.is_set():
            try:
                if number % 2:
                    done[proxy.ask("/v1/auth/me", key)] += 1
                else:
                    done[proxy.ask("/v1/keys", key, {"name": "load"})] += 1
            except OSError as error:
                done[repr(error)] += 1

    clients = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()

    def answer_more() -> None:
        enough = done[200] + 20
        until(lambda: done[200] >= enough)

    try:
        for instance in instances:
            answer_more()
            instance.stop()
            instance.start()
        answer_more()
    finally:
        stop.set()
    for client in clients:
        client.join()
    assert set(done) == {200, 201}, done


def test_stopping_server_answers_its_running_requests(instances, proxy, key):
    """A request waiting for a lock at SIGTERM is still answered."""
    instance = instances[0]
    with instance.database.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE audit_audithead IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(instance.ask, "/v1/keys", key=key, body={"name": "waited"})
            with instance.database.connect() as admin:
                until(lambda: admin.execute(IS_LOCKED).fetchone())
            stopping = pool.submit(instance.stop)
            time.sleep(0.5)  # It begins to stop. The lock is waited for 2 s long.
            assert not waiting.done()
            holder.execute("COMMIT")
            assert waiting.result().status == 201
            assert stopping.result() == 0
    instance.start()


def test_forwarded_header_emptied_by_a_bad_byte_is_refused_and_named(instances, proxy, key):
    database, port, path, body = (
        instances[0].database,
        instances[0].port,
        "/v1/keys",
        b'{"name":"x"}',
    )
    for name in PROXIED:
        lines = [f"{n}: {v}".encode() for n, v in PROXIED.items() if n != name]
        for value in ("é, 192.0.2.7".encode(), b"\xe9", b""):
            status, answer = send(port, key, *lines, name.encode() + b": " + value)
            error = json.loads(answer)["error"]
            assert (status, error["code"], error["field"]) == (400, "request_invalid", name)
    proxied = [f"{name}: {value}".encode() for name, value in PROXIED.items()]
    for agent in ("Müller/2".encode(), "Müller/2".encode("latin-1"), b""):
        line = b"User-Agent: " + agent
        assert send(port, key, *proxied, line, path=path, body=body)[0] == 201
        # The documented nginx passes no byte on that would empty its own headers.
        emptied = (line, b"X-Forwarded-For: \xe9", b"X-Forwarded-Proto: \xe9")
        assert send(proxy.port, key, *emptied, path=path, body=body)[0] == 201
    with database.connect() as connection:
        seen = connection.execute(
            "SELECT user_agent, host(ip) FROM audit_auditevent WHERE actor_type = 'key'"
            " ORDER BY created_at DESC LIMIT 6"
        ).fetchall()
    assert seen == [("(not readable)", "127.0.0.1"), ("(not readable)", "192.0.2.7")] * 3


def test_nginx_without_an_instance_answers_503_in_the_error_envelope(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Nothing listens there: 502. The other never answers: 504.
        for folder, socket_ in (("closed", closed), ("silent", silent)):
            (tmp_path / folder).mkdir()
            ports = [socket_.getsockname()[1]] * 2
            running = start_nginx(tmp_path / folder, ports, read_timeout="1s")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
                connection.request("POST", "/v1/keys", b"{}", {"Content-Type": "application/json"})
                answer = connection.getresponse()
                error = json.loads(answer.read())["error"]
                connection.close()
            finally:
                running.stop()
            assert (answer.status, error["code"]) == (503, "temporarily_unavailable")
            assert error["type"] == "api_error"
            assert set(error) == {"type", "code", "message", "fix", "doc_url", "request_id"}
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.headers["Retry-After"] == str(RETRY_AFTER_SECONDS)
            assert answer.headers["Request-Id"] == error["request_id"]


def test_nginx_compresses_lists_and_the_openapi_document_but_no_page(proxy, key):
    for name in ("one", "two"):
        proxy.ask("/v1/keys", key, {"name": name})

    def fetch(path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        sent = {"Host": "127.0.0.1", "Accept-Encoding": "gzip", **headers}
        connection.request("GET", path, headers=sent)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    for path, form in (
        ("/v1/openapi.json", b'{"openapi":"3.1'),
        ("/v1/openapi.yaml", b"openapi: 3.1"),
        ("/v1/keys", b'{"object":"list"'),
    ):
        answer, body = fetch(path, Authorization=f"Bearer {key}")
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip"), path
        assert "Accept-Encoding" in answer.headers["Vary"]
        text = gzip.decompress(body)
        assert text.startswith(form)
        assert len(body) < len(text) / 2
        if tag := answer.headers["ETag"]:
            assert fetch(path, **{"If-None-Match": tag})[0].status == 304
    tags = {fetch("/v1/openapi.json")[0].headers["ETag"] for _ in range(8)}
    assert len(tags) == 1, "workers disagree about the document"
    for path in ("/admin/login/", "/docs", "/docs/reference", "/docs/errors"):
        answer, _ = fetch(path)
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, None), path


def test_report_of_ten_mebibytes_kills_through_nginx_and_every_refusal_of_it_arrives(
    proxy, instances, key, scanner
):
    github = Scanner()
    scanner.publish(github)
    owner = instances[0].manage("create_organization", "Leaky")
    leaked = instances[0].manage("issue_api_key", owner, "--name", "CI")
    body = json.dumps([{"token": leaked, "type": "t", "url": "", "source": "commit"}]).encode()
    body += b" " * (10 * 2**20 - len(body))
    lines = [b"Github-Public-Key-Signature: " + github.sign(body).encode()]
    signed = [*lines, b"Github-Public-Key-Identifier: k1"]
    for headers, sent, path, expected in (
        ([], body, "/github", (404, "resource_not_found")),
        (
            [*lines, b"Github-Public-Key-Identifier: k2"],
            body,
            "/github",
            (401, "signature_invalid"),
        ),
        ([*signed, b"Github_Public_Key_Identifier: k2"], body, "/github", (200, "true_positive")),
        ([*signed, signed[1]], body, "/github", (401, "signature_invalid")),
        ([*signed, signed[0]], body, "/github", (401, "signature_invalid")),
        (signed, body + b" ", "/github", (413, "request_too_large")),
        (signed, body, "/gitlab", (413, "request_too_large")),
        (signed, body, "/github/x", (413, "request_too_large")),
    ):
        status, answer = send(proxy.port, "", *headers, path=f"/v1/leak_reports{path}", body=sent)
        said = json.loads(answer)
        code = said[0]["label"] if isinstance(said, list) else said["error"]["code"]
        assert (status, code) == expected, (headers, path, answer)
    assert [instance.ask("/v1/auth/me", key=leaked).status for instance in instances] == [401, 401]
    # Without the proxy, a chunked body has no length, and the server folds `_` into `-`.
    straight = [f"{name}: {value}".encode() for name, value in PROXIED.items()]
    chunked = [*straight, *signed, b"Transfer-Encoding: chunked", b"Content-Type: application/json"]
    with socket.create_connection(("127.0.0.1", instances[0].port), timeout=60) as connection:
        head = [b"POST /v1/leak_reports/github HTTP/1.1", b"Host: 127.0.0.1", *chunked]
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n2\r\n[]\r\n0\r\n\r\n")
        refused = http.client.HTTPResponse(connection)
        refused.begin()
        assert (refused.status, json.loads(refused.read())["error"]["code"]) == (
            411,
            "length_required",
        )


def test_nginx_does_not_expose_forward_authentication(proxy, instances, key):
    assert instances[0].ask("/v1/authz/forward", key=key).status == 200
    for path in (
        *("/v1/authz", "/v1/authz/forward", "/v1/authz/nginx?a=1", "/v1/authz/envoy/x"),
        *("/v1/authz/envoy/../../auth/me", "/v1/authz/envoy/%2e%2e/%2e%2e/%2e%2e/docs"),
        *(
            "/v1/%61uthz/forward",
            "/%761/authz/forward",
            "/v1%2Fauthz%2fforward",
            "/V1/AUTHZ/forward",
        ),
        *("//v1/authz/forward", "/v1//authz/forward", "/docs/../v1/authz/forward"),
    ):
        assert send(proxy.port, key, path=path)[0] == 404, path
    assert send(proxy.port, key, path="/v1/auth/me")[0] == 200


def test_nginx_redirects_plain_http_to_public_url_and_repeats_no_key(proxy):
    tail = "live_AAAAAAAA_"
    for path, status in (
        ("/docs", 301),
        (f"/docs?a=rk_{tail}", 400),
        (f"/docs?a=%72k_{tail}", 400),
        (f"/docs?a=r%6b_{tail}", 400),
        (f"/docs?a=%2572%256B%255F{tail}", 400),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", proxy.plain_port, timeout=60)
        connection.request("GET", path, headers={"Host": "evil.example"})
        answer = connection.getresponse()
        assert answer.status == status, path
        expected = "https://api.example.com/docs" if status == 301 else None
        assert answer.headers["Location"] == expected
        connection.close()


def test_second_installation_behind_one_nginx_serves_its_keys_and_dies_alone(
    instances, key, tmp_path
):
    with ProductionServer(Database(), workers=1) as second:
        organization = second.manage("create_organization", "Globex", "--plan", "enterprise")
        other, characters = key, key[8:10]
        while characters.lower() == key[8:10].lower() or characters.isdigit():
            other = second.manage("issue_api_key", organization, "--name", "CI")
            characters = other[8:10]
        unknown = other.replace(f"_live_{characters}", f"_live_{characters.swapcase()}")
        ports = [instance.port for instance in instances]
        running = start_nginx(tmp_path, ports, cell=(characters, second.port))

        def seen() -> tuple[int | str, ...]:
            """Ask with each key, with one of the characters in other case, and without one."""
            answers = [send(running.port, one) for one in (key, other, unknown, "")]
            return tuple(
                json.loads(body)["organization"]["name"] if status == 200 else status
                for status, body in answers
            )

        try:
            assert seen() == ("Acme", "Globex", 401, 401)
            made = send(running.port, other, path="/v1/keys", body=b'{"name": "made there"}')
            assert made[0] == 201, made
            with second.database.connect() as connection:
                names = connection.execute("SELECT name FROM apikeys_apikey").fetchall()
            assert ("made there",) in names
            second.database.stop()
            assert seen() == ("Acme", 503, 401, 401)
            second.stop()
            assert seen() == ("Acme", 503, 401, 401)
        finally:
            running.stop()


def test_refusal_before_the_body_was_read_reaches_the_client(proxy):
    """A server that closed the connection would reset it, and nginx would answer 502."""
    answers: Counter[tuple[int, str | None]] = Counter()

    def refuse(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        headers = {"Authorization": "Bearer wrong", "Content-Type": "application/json"}
        for size in (60_000, 1_000_000):  # On one connection, if it is kept.
            connection.request("POST", "/v1/keys", b" " * size, headers)
            response = connection.getresponse()
            assert json.loads(response.read())["error"]["code"] == "api_key_invalid"
            answers[response.status, response.headers["Content-Type"]] += 1
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(refuse, range(300)))
    assert answers == {(401, "application/json"): 600}
