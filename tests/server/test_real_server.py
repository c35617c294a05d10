"""Tests of the production server as a newcomer starts it, by real curl."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest

from reachscore.management.commands.run_demo import wait_until_ready
from tests.support.demo_server import DemoServer, manage
from tests.support.waiting import answers, until

CREATED = [
    "id",
    "object",
    "name",
    "key",
    "key_hint",
    "scopes",
    "created_at",
    "expires_at",
    "livemode",
]
CONTEXT = ["key_id", "key_name", "scopes", "organization", "usage", "livemode"]

# As the seed document prints them, except for address and key.
SEED_CREATE = """curl -X POST {url}/v1/keys \\
  -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{
    "name": "CI/CD Pipeline",
    "scopes": ["tests:read", "tests:write"]
  }}'"""
SEED_ME = """curl {url}/v1/auth/me \\
  -H "Authorization: Bearer {key}\""""


def run(command: str) -> str:
    parts = [part for part in shlex.split(command) if part != "\n"]
    done = subprocess.run([*parts, "-sS"], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def status(server: DemoServer, path: str, *options: str) -> int:
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *options]
    done = subprocess.run(
        [*command, server.url + path], capture_output=True, text=True, timeout=60, check=True
    )
    return int(done.stdout)


@pytest.mark.parametrize("mode", ["live", "test"])
def test_curl_examples_of_the_seed_answer_the_documented_fields_in_order(server, mode):
    created = json.loads(run(SEED_CREATE.format(url=server.url, key=server.key(mode))))
    assert list(created)[: len(CREATED)] == CREATED
    assert created["name"] == "CI/CD Pipeline"
    assert created["scopes"] == ["tests:read", "tests:write"]
    assert created["key"].startswith(f"rk_{mode}_")
    assert created["livemode"] is (mode == "live")

    me = json.loads(run(SEED_ME.format(url=server.url, key=created["key"])))
    assert list(me) == CONTEXT
    assert me["key_id"] == created["id"]
    assert me["organization"]["name"] == "Your Company"
    assert me["organization"]["plan"] == "team"
    assert list(me["organization"]) == ["id", "name", "plan"]
    assert list(me["usage"]) == ["tests_this_month", "tests_limit", "domains", "domains_limit"]


def test_curl_commands_printed_by_a_first_run_work_as_printed(server):
    create, me = [line for line in server.output.splitlines() if line.startswith("curl ")]
    assert json.loads(run(create))["object"] == "api_key"
    assert json.loads(run(me))["key_name"] == "First live key"


def test_key_revoked_by_a_command_beside_the_server_is_refused_next(server):
    organization = json.loads(run(SEED_ME.format(url=server.url, key=server.key("live"))))
    issued = manage("issue_api_key", organization["organization"]["id"], "--name", "Beside")
    assert issued.returncode == 0, issued.stderr
    key = issued.stdout.strip()
    authorization = f"Authorization: Bearer {key}"
    assert status(server, "/v1/auth/me", "-H", authorization) == 200

    revoked = manage("revoke_api_key", key, "--reason", "test")

    assert re.fullmatch(r"key_\w{12}\n", revoked.stdout), revoked.stderr
    assert status(server, "/v1/auth/me", "-H", authorization) == 401


def test_deliverer_runs_beside_the_server(server):
    until(lambda: not json.loads(run(f"curl {server.url}/readyz"))["warnings"])


def test_pages_and_static_files_are_served(server):
    for path in ("/", "/docs", "/docs/errors", "/v1/openapi.json", "/admin/login/", "/readyz"):
        assert status(server, path) == 200, path
    for path in ("/static/admin/css/base.css", "/static/reachscore/site.css"):
        assert status(server, path) == 200, path


def test_printed_admin_password_works_and_is_no_default(server):
    found = re.search(r"user admin, password (\S+)", server.output)
    assert found
    assert len(found[1]) >= 16
    cookies = subprocess.run(
        ["curl", "-sS", "-c", "-", "-o", "/dev/null", f"{server.url}/admin/login/"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    token = cookies.split()[-1]
    form = f"username=admin&password={found[1]}&csrfmiddlewaretoken={token}"
    sent = ("-H", f"Cookie: csrftoken={token}", "-d", form)
    assert status(server, "/admin/login/?next=/admin/", *sent) == 302
    wrong = ("-H", f"Cookie: csrftoken={token}", "-d", form.replace(found[1], "admin"))
    assert status(server, "/admin/login/?next=/admin/", *wrong) == 200


def test_malformed_http_that_only_a_socket_can_send_is_refused(server):
    key = server.key("live")

    def send(*lines: bytes, body: bytes = b"") -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            head = [b"POST /v1/keys HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *lines]
            connection.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer

    bearer = b"Authorization: Bearer " + key.encode()
    as_json = b"Content-Type: application/json"
    for lines, body, expected in [
        ((bearer, as_json, b"Content-Length: 13"), b'{"name": "x"}', b" 201 "),
        # Python's int() refuses 4,301 digits. Leading zeros are allowed: RFC 9110 §8.6.
        ((bearer, as_json, b"Content-Length: " + b"0" * 5000), b"", b"missing_required_field"),
        ((bearer, as_json, b"Content-Length: " + b"0" * 5000 + b"13"), b'{"name": "x"}', b" 201 "),
        ((bearer, as_json), b"", b"length_required"),
        (
            (bearer, as_json, b"Transfer-Encoding: chunked"),
            b'd\r\n{"name": "x"}\r\n0\r\n\r\n',
            b"length_required",
        ),
        ((bearer, as_json, b"Content-Length: 70000"), b" " * 70_000, b"request_too_large"),
        ((bearer, bearer, as_json, b"Content-Length: 2"), b"{}", b"api_key_invalid"),
        ((b"Authorization: Bearer \xff\xfe",), b"", b"api_key_invalid"),
        ((b"Authorization: Bearer " + b"a" * 30_000,), b"", b"api_key_invalid"),
        ((b"Authorization: Bearer " + b"a" * 66_000,), b"", b" 431 "),
        ((b"Authorization: Bearer a\x00b",), b"", b" 400 "),
        ((b"Authorization:",), b"", b"api_key_invalid"),
        # Django decodes the query in this charset, or cannot parse the header at all.
        ((bearer, b"Content-Type: a/b; a*=bogus''%41", b"Content-Length: 2"), b"{}", b" 415 "),
        ((bearer, b"Content-Type: a/b; charset=rot13", b"Content-Length: 2"), b"{}", b" 415 "),
    ]:
        answer = send(*lines, body=body)
        assert expected in answer, (lines[0][:60], answer[:300])


def test_unread_body_is_refused_even_if_chunked(server):
    bearer = ("-H", f"Authorization: Bearer {server.key('live')}")
    as_json = ("-H", "Content-Type: application/json")
    made = json.loads(run(SEED_CREATE.format(url=server.url, key=server.key("live"))))
    url = f"/v1/keys/{made['id']}"
    chunked = ("-H", "Transfer-Encoding: chunked")
    cascade = ("-d", '{"cascade": true, "reason": "leaked"}')
    for sent in (
        (*as_json, *cascade),
        (*as_json, *cascade, *chunked),
        ("-d", "cascade=true", *chunked),
        ("-d", " " * 5_000, *chunked),
        ("-F", "cascade=true"),
    ):
        for method in ("DELETE", "GET"):
            assert status(server, url, *bearer, "-X", method, *sent) == 400, (method, sent)
    own = ("-H", f"Authorization: Bearer {made['key']}")
    assert status(server, "/v1/auth/me", *own, *as_json, "-X", "GET", "-d", "{}") == 200
    # A broken chunked body looks empty, so a chunked body never counts as empty.
    assert status(server, "/v1/auth/me", *own, *chunked, "-X", "GET", "-d", " {} ") == 400
    assert status(server, url, *bearer, "-X", "DELETE", "-d", "{}") == 200


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("DELETE", "", "Content-Length: 17\r\n\r\n"),
        ("DELETE", "", "Content-Length: 17\r\n\r\n  "),
        ("DELETE", "", "Content-Length: 17\r\n\r\n{}"),
        ("DELETE", "", "Transfer-Encoding: chunked\r\n\r\n"),
        ("DELETE", "", "Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ("PATCH", "", 'Content-Length: 170\r\n\r\n{"name": "cut"}'),
        ("POST", "/rotate", 'Content-Length: 170\r\n\r\n{"overlap_seconds": 0}'),
    ],
)
def test_truncated_body_is_refused_and_changes_nothing(server, method, path, sent):
    made = json.loads(run(SEED_CREATE.format(url=server.url, key=server.key("live"))))
    head = f"{method} /v1/keys/{made['id']}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Authorization: Bearer {server.key('live')}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall((head + sent).encode())
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 400"), answer
    url = f"{server.url}/v1/keys/{made['id']}"
    shown = json.loads(run(f"curl {url} -H 'Authorization: Bearer {server.key('live')}'"))
    assert (shown["status"], shown["name"]) == ("active", made["name"])
    assert [secret["key_hint"] for secret in shown["secrets"]] == [made["key_hint"]]


def test_non_utf_8_query_and_content_coding_are_refused_by_the_server(server):
    bearer = ("-H", f"Authorization: Bearer {server.key('live')}")
    as_json = ("-H", "Content-Type: application/json")
    assert status(server, "/v1/keys?name=Gesch%E4ft", *bearer) == 400
    assert status(server, "/v1/keys?name=Gesch%C3%A4ft", *bearer) == 200
    body = (*bearer, *as_json, "-d", '{"name": "coded"}')
    assert status(server, "/v1/keys", *body, "-H", "Content-Encoding: gzip") == 415
    assert status(server, "/v1/keys", *body, "-H", "Content-Encoding: identity") == 201
    assert status(server, "/v1/auth/me", *bearer, "-H", "Accept;") == 200  # Empty, to curl.
    file = "/static/reachscore/site.css"
    for given in ("0-0", "-1"):
        assert status(server, file, "-H", f"Range: bytes={given}") == 206


def test_key_in_the_url_is_refused_under_any_charset(server):
    for charset in ("utf-16", "rot13", "undefined", "idna", "utf-8"):
        url = f"/v1/auth/me?x={server.key('test')}"
        assert status(server, url, "-H", f"Content-Type: a/b; charset={charset}") == 400, charset
        assert status(server, "/", "-H", f"Content-Type: a/b; charset={charset}") == 200


def test_second_server_on_the_same_port_is_refused(server):
    done = manage("serve", "--port", str(server.port))
    assert done.returncode == 1
    assert f"Port {server.port} cannot be used" in done.stderr
    assert "Or choose another: --port 8001." in done.stderr


def logged_so_far(server: DemoServer) -> int:
    """Return the length of the log that holds all requests up to now: it comes through a pipe."""
    last = " method=HEAD route=docs/errors "
    before = server.output.count(last)
    assert status(server, "/docs/errors", "--head") == 200
    until(lambda: server.output.count(last) > before)
    return len(server.output)


def test_server_log_holds_no_key(server):
    key = server.key("test")
    printed = server.output.count(key)
    assert status(server, f"/v1/nope/{key}") == 400
    assert status(server, f"/{key}") == 400
    assert status(server, f"/admin/?q={key}", "-H", f"Referer: {server.url}/{key}") == 400
    assert status(server, "/nope", "-H", f"Referer: {server.url}/{key}") == 404
    logged_so_far(server)
    assert server.output.count(key) == printed
    assert server.output.count(key[17:]) == printed


def test_refused_requests_are_one_log_line_each(server):
    refused = {
        ("/admin/MARK" + "x" * 16_400,): 400,
        ("/admin/login/?MARK", "-d", "username=MARK"): 403,
        ("/?MARK", "-X", "MARK"): 403,
        ("/v1/MARK", "-F", "MARK=MARK"): 404,
    }
    before = logged_so_far(server)
    for sent, expected in refused.items():
        assert status(server, *sent) == expected, sent[0][:20]
    after = logged_so_far(server)
    written = server.output[before:after]
    # Beside them, a line that sums up failed authentications may come each minute.
    lines = [line for line in written.splitlines() if "Z WARNING reachscore.security:" not in line]
    assert len(lines) == len(refused) + 1, written
    assert "MARK" not in written


def test_second_run_shows_no_key_and_says_how_to_issue_one(server):
    with DemoServer() as second:
        assert "rk_" not in second.output
        assert "user admin; a new password: .venv/bin/python manage.py changepassword admin\n" in (
            second.output
        )
        made = re.findall(r"manage\.py issue_api_key org_\w+ --name 'My key'(.*)", second.output)
        assert made == ["", " --test"]
        assert second.stop(signal.SIGINT) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_killed_run_leaves_no_server(server):
    with DemoServer() as second:
        second.process.kill()
        second.process.wait()
        until(lambda: not answers(second.port))
        second.stop()


def test_two_concurrent_first_runs_share_one_organization():
    cluster = f"{tempfile.gettempdir()}/reachscore-tests-{uuid.uuid4().hex[:12]}"
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(lambda: DemoServer(REACHSCORE_TEST_CLUSTER=cluster).__enter__())
            for _ in range(2)
        ]
        both = [run.result() for run in runs]
    outputs = sorted((demo.output for demo in both), key=len)
    for demo in both:
        assert demo.stop() == 0, demo.output
    assert "issue_api_key org_" in outputs[0]
    assert outputs[1].count("\n  live ") == 1


def test_taken_port_of_the_demo_is_told_in_a_sentence(server):
    done = manage("run_demo", "--port", str(server.port))
    assert done.returncode == 1
    assert f"Port {server.port} cannot be used" in done.stderr
    assert "make run PORT=" in done.stderr
    assert "`ss -ltnp` shows its pid" in done.stderr
    assert "Traceback" not in done.stderr


def test_readiness_whose_answer_ends_early_is_asked_for_again():
    answers_of_a_start = [
        b"HTTP/1.1 503 Wait\r\nContent-Length: 9\r\n\r\ntoo",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)

        def answer() -> None:
            for said in answers_of_a_start:
                asking, _ = listener.accept()
                with asking:
                    asking.recv(4096)
                    asking.sendall(said)

        answering = pool.submit(answer)
        server: Any = mock.Mock(poll=lambda: None)
        assert wait_until_ready(server, listener.getsockname()[1])
        answering.result()
