"""Tests of the production server's processes: bounded requests, and workers that are replaced."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.production_server import PROXIED, Database, ProductionServer
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")
TOKEN = "t" * 32
HEAD = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **PROXIED}.items())


@pytest.fixture(scope="module")
def server() -> Iterator[ProductionServer]:
    """Start a server whose environment has variables that look like headers."""
    production = ProductionServer(Database())
    production.environ |= {
        "METRICS_TOKEN": TOKEN,
        "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
        "HTTP_X_FORWARDED_PROTO": "https",
        "CONTENT_TYPE": "application/json",
    }
    with production:
        yield production


def send(server: ProductionServer, *parts: str, seconds: float = 60) -> str:
    """Send raw text; return what arrives until the connection closes or the time is over."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as client:
        client.sendall("".join(parts).encode())
        try:
            while part := client.recv(65536):
                received += part
        except TimeoutError:
            received += b"<open>"
    return received.decode()


def test_environment_variable_is_not_taken_for_a_header(server):
    close = "Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
    assert " 401 " in send(server, "GET /metrics HTTP/1.1\r\n", close)[:20]
    assert "https_required" in send(server, "GET /v1/auth/me HTTP/1.1\r\n", close)


def test_request_head_is_bounded_and_parsed_in_time(server):
    for header, status in (
        ('Content-Type: a/b;x="' + ";" * 30_000, 200),
        ('Cookie: sessionid="' + "\\" * 30_000, 200),
        ("Accept: " + "a/b;q=1," * 3_700, 200),
        ("A: " + "a" * 30_000, 200),
        ("A: " + "a" * 66_000, 431),
    ):
        took: list[float] = []
        while min(took, default=1) > 0.5 and len(took) < 20:  # One may be delayed, not each.
            began = time.monotonic()
            answer = send(
                server, f"GET /readyz HTTP/1.1\r\n{HEAD}Connection: close\r\n{header}\r\n\r\n"
            )
            took.append(time.monotonic() - began)
            assert answer.startswith(f"HTTP/1.1 {status} "), (header[:20], answer[:200])
        assert min(took) < 0.5, header[:20]


def test_refusal_leaves_no_unread_body_on_a_kept_connection(server):
    post = f"POST /v1/keys HTTP/1.1\r\n{HEAD}Authorization: Bearer x\r\nContent-Type: a/b\r\n"
    last = f"GET /healthz HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n"
    chunk = f"{2**16:x}\r\n{' ' * 2**16}\r\n"
    for body, is_kept in (
        ("Content-Length: 60000\r\n\r\n" + " " * 60_000, True),
        (f"Content-Length: {2**20}\r\n\r\n" + " " * 2**20, True),
        (f"Content-Length: {2**20 + 1}\r\n\r\n", False),
        ("Transfer-Encoding: chunked\r\n\r\n" + chunk * 15 + "0\r\n\r\n", True),
        ("Transfer-Encoding: chunked\r\n\r\n" + chunk * 17, False),
        ("Content-Length: 0\r\n\r\n", True),
    ):
        answer = send(server, post, body, last if is_kept else "")
        assert "HTTP/1.1 401 " in answer, body[:40]
        assert ("HTTP/1.1 200 OK" in answer) is is_kept, (body[:40], answer[-300:])
        assert answer.lower().count("connection: close") == 1, (body[:40], answer)


def test_stalled_body_is_refused_after_two_seconds(server):
    stalled = f"POST /nope HTTP/1.1\r\n{HEAD}Content-Length: 60000\r\n\r\n", " "
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        began = time.monotonic()
        client.sendall("".join(stalled).encode())
        answer = client.recv(65536).decode().lower()
        assert 1.5 < time.monotonic() - began < 4
    assert answer.startswith("http/1.1 404 ")
    assert "connection: close" in answer
    # Many stalled connections occupy one thread of each worker; the others serve on.
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(30)]
    for client in clients:
        client.sendall("".join(stalled).encode())
    healthy = sorted(server.ask("/healthz").seconds for _ in range(20))
    assert healthy[10] < 1, healthy
    for client in clients:
        assert client.recv(65536).startswith(b"HTTP/1.1 404 ")
        client.close()


def workers_of(server: ProductionServer) -> list[int]:
    found = subprocess.run(
        ["ps", "--ppid", str(server.process.pid), "-o", "pid="],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(pid) for pid in found.stdout.split()]


def requests_counted(server: ProductionServer) -> float:
    """Return the number of requests to /nope, summed over all workers."""
    text = server.ask("/metrics", key=TOKEN).body
    name = 'reachscore_requests_total{route="unknown",status="404"} '
    return float(text.split(name)[1].split("\n")[0])


def test_killed_worker_is_replaced_and_its_counts_are_kept(server):
    for _ in range(20):
        assert server.ask("/nope").status == 404
    before, workers = requests_counted(server), workers_of(server)
    assert len(workers) == 2

    os.kill(workers[0], signal.SIGKILL)

    until(lambda: set(workers_of(server)) - set(workers))
    answers = [server.ask("/nope").status for _ in range(20)]
    assert answers == [404] * 20
    assert requests_counted(server) == before + 20
    assert server.process.poll() is None


# Forks processes that wait as a worker does while threads start, and stops them all.
WAITING = """
import os, signal, time, _thread
from threading import Event, Thread
from reachscore.server import take_signals

def start_threads():
    while True:
        _thread.start_new_thread(int, ())
        time.sleep(0.0005)

def wait():
    take_signals()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Thread(target=start_threads, daemon=True).start()
    Event().wait()

children = {pid for _ in range(30) if (pid := os.fork() or wait())}
time.sleep(0.5)
for pid in children:
    os.kill(pid, signal.SIGTERM)
deadline = time.monotonic() + 60
while children and time.monotonic() < deadline:
    children -= {pid for pid in children if os.waitpid(pid, os.WNOHANG)[0]}
    time.sleep(0.05)
for pid in children:
    os.kill(pid, signal.SIGKILL)
print(len(children))
"""


def test_process_in_which_threads_start_ends_on_sigterm():
    command = [sys.executable, "-c", WAITING]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"0\n"


def test_server_ends_if_interrupted_twice_and_if_its_workers_have_just_begun(server):
    for _ in range(2):
        os.killpg(server.process.pid, signal.SIGINT)  # As Ctrl-C in a terminal.
        time.sleep(0.1)
    assert server.process.wait(timeout=60) == 0

    server.spawn()
    until(lambda: len(workers_of(server)) >= 2, every=0.01)
    server.process.terminate()
    assert server.process.wait(timeout=60) == 0
    server.start()


# This test must be the last one, because it ends the server.
def test_workers_end_with_their_parent(server):
    workers = workers_of(server)
    assert len(workers) == 2
    server.process.kill()
    server.process.wait()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)
