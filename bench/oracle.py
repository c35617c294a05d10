"""Can a stranger tell by time if a reported key exists? `python -m bench.oracle [CALLS]`.

Sends reports of one key each to the real server while `deliver` works them off: a thousand keys
that exist, later dead, among keys that do not, shuffled, as fast as the limits let them. (Not in
turn: what a hit costs `deliver` falls on the call after it.) Then a rank test (Mann-Whitney) over
the times, and all answers compared byte by byte. 10,000 calls take some minutes.
"""

import json
import math
import random
import re
import statistics
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from typing import Final

import tests.settings  # noqa: F401 - chooses the cluster that the server is to use
from apikeys.plaintext import new_plaintext
from bench.machine import say
from tests.support.demo_server import DemoServer, manage

OF_AN_ADDRESS: Final = 60  # An hour.
PAUSE: Final = 0.0105  # Everybody may send 100 a second.
ISSUE: Final = """
from accounts.models import Organization, Plan
from apikeys.models import ApiKey
from apikeys.verbs.issue import issue
from audit.actor import Actor
for n in range(10):
    acme = Organization(name="Acme", plan=Plan.objects.get(slug="enterprise"))
    acme.create(actor=Actor.system())
    for n in range(100):
        print(issue(ApiKey(organization=acme, name="n", livemode=True), actor=Actor.system()))
"""


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with DemoServer() as server:
        keys = manage("shell", "-v", "0", "-c", ISSUE).stdout.split()
        texts = [keys[number % len(keys)] for number in range(calls // 2)]
        texts += [new_plaintext(livemode=True) for _ in texts]
        random.shuffle(texts)
        answers, seconds = send(server.port, texts)
    exist, pairs = set(keys), list(zip(texts, seconds, strict=True))
    hits = [each for text, each in pairs if text in exist]
    misses = [each for text, each in pairs if text not in exist]
    say(f"{len(texts)} calls, {len(set(answers))} kind of answer: {answers[0]}")
    for name, some in (("hits", hits), ("misses", misses)):
        say(f"{name}: median {statistics.median(some) * 1000:.3f} ms")
    say(f"rank test: p = {probability(hits, misses):.3f}")


def send(port: int, texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Report each text, as another address where one has sent its part; return answers, times."""
    answers, seconds, headers = [], [], {"Content-Type": "application/json"}
    for number, text in enumerate(texts):
        address, place = divmod(number, OF_AN_ADDRESS)
        if place == 0:
            source = (f"127.0.{address // 250 + 1}.{address % 250 + 1}", 0)
            connection = HTTPConnection("127.0.0.1", port, source_address=source)
            connection.connect()
        began = time.perf_counter()
        connection.request("POST", "/v1/revoke_exposed", json.dumps({"keys": [text]}), headers)
        answer = connection.getresponse()
        content = answer.read().decode()
        seconds.append(time.perf_counter() - began)
        known = {name: value for name, value in answer.getheaders() if name.lower() != "date"}
        said = f"{answer.status} {known} {content}"
        answers.append(re.sub(r"(rpt|req)_[0-9A-Za-z]{12}", r"\1_…", said))
        time.sleep(max(0.0, PAUSE - seconds[-1]))
    return answers, seconds


def probability(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return how probable a rank sum as far off as theirs is, if nothing tells them apart.

    Two-sided, by the normal approximation: for samples of 20 or more, without ties.
    """
    n, m = len(ones), len(others)
    ranked = sorted([(value, 1) for value in ones] + [(value, 0) for value in others])
    ranks = sum(rank * is_one for rank, (_, is_one) in enumerate(ranked, 1))
    off = abs(ranks - n * (n + m + 1) / 2)
    return math.erfc(off / math.sqrt(n * m * (n + m + 1) / 6))


if __name__ == "__main__":
    main()
