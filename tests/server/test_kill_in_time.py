"""Tests that a reported key is dead in time: with the real server, and `deliver` as a process."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.demo_server import ROOT, DemoServer
from tests.support.guides import readers

PROMISED_SECONDS = 2.0


@pytest.fixture
def deliverer(server: DemoServer) -> Iterator[None]:
    command = (sys.executable, "manage.py", "deliver")
    process = subprocess.Popen(command, cwd=ROOT, env=server.environ)
    yield
    process.terminate()
    assert process.wait(timeout=20) == 0


def status(url: str, key: str = "", body: object = None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {"Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as sent:
            return int(sent.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


@pytest.mark.usefixtures("deliverer")
def test_reported_key_is_dead_within_twice_the_promised_time(server):
    (reader, *others) = readers(server.port, 6)
    me, kill = f"{server.url}/v1/auth/me", f"{server.url}/v1/revoke_exposed"
    assert status(kill, body={"keys": [reader.key]}) == 202
    while status(me, reader.key) != 401:  # Until the process is up.
        time.sleep(0.1)
    for other in others:
        assert status(kill, body={"keys": [other.key], "found_at": "https://git.example/"}) == 202
        began = time.monotonic()
        while status(me, other.key) != 401:
            assert time.monotonic() < began + 2 * PROMISED_SECONDS
            time.sleep(0.02)
        assert status(me, other.test_key) == 200
