"""Test that a reported key is dead in time: the demo runs the real server, and `deliver`."""

import json
import time
import urllib.error
import urllib.request

from tests.support.guides import readers

PROMISED_SECONDS = 2.0


def status(url: str, key: str = "", body: object = None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {"Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as sent:
            return int(sent.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_reported_key_is_dead_within_twice_the_promised_time(server):
    me, kill = f"{server.url}/v1/auth/me", f"{server.url}/v1/revoke_exposed"
    for other in readers(server.port, 4):
        assert status(kill, body={"keys": [other.key], "found_at": "https://git.example/"}) == 202
        began = time.monotonic()
        while status(me, other.key) != 401:
            assert time.monotonic() < began + 2 * PROMISED_SECONDS
            time.sleep(0.02)
        assert status(me, other.test_key) == 200
