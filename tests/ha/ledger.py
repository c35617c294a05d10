"""The ledger: what the service acknowledged, under load, and whether all of it still holds."""

import http.client
import itertools
import json
import math
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.ha.cluster import Cluster, Instance, until
from tests.support.production_server import PROXIED
from tests.support.proxies import Proxy

WRITERS = 4
# Several, because one that waits for an answer does not see that the service is back.
PROBES = 2  # Of each kind and instance.
SECONDS_BETWEEN_PROBES = 0.4
LEAKED = "02468ACEGIKMOQSUWYacegikmoqsuwy"  # Ids of keys that are reported end with one of these.
LONGEST_TO_REVOKE_SECONDS = 120  # Two are promised, and 30 more for a fail-over.
KEPT_ACTIVE = 10  # A writer has this many keys; each further one has it revoke its oldest.
LONGEST_STALE_SECONDS = 5  # In which an old primary has to step down.
LONGEST_ANSWER_SECONDS = 2 * 10  # Twice what is promised, for a busy machine.
SAMPLE = 50  # Of the revoked and of the kept keys, presented after each fault.
NO_ANSWER = 0
CUT = -1  # Its worker was killed between the head and the body; no proxy can ask again then.
BACK_SOON = {503, 409}  # 409: the lost attempt of the same creation is still running.


@dataclass
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Ledger:
    """Writes through nginx and probes each instance, from entry to exit.

    Writers create keys and revoke them, each with its organization; they repeat what was not
    acknowledged until it is. Every acknowledged write is in the ledger, every broken promise in
    `broken`.
    """

    def __init__(self, cluster: Cluster, front: Proxy, instances: list[Instance]) -> None:
        self.cluster, self.front, self.instances = cluster, front, instances
        self.created: dict[str, str] = {}  # Ids by name; a name is used for one creation.
        self.revoked: dict[str, str] = {}  # Plaintexts by id.
        self.kept: dict[str, str] = {}  # The same of keys whose end nobody has begun.
        self.leaked = 0  # Of the revoked ones.
        self.broken: list[str] = []
        self.stale: list[str] = []  # Answers that an old primary may give, once awake.
        self.woken = -math.inf  # When one was last woken.
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self.good: dict[str, list[float]] = {"writes": []}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._numbers = itertools.count()

    def __enter__(self) -> "Ledger":
        for number in range(WRITERS):
            self._begin(self._write, self.customer(f"Writer {number}"))
        probe = self.customer("Probe")
        for instance in self.instances:
            self.good |= {f"{what} {instance.name}": [] for what in ("reads", "changes")}
            for number in range(PROBES):
                self._begin(self._probe_reads, instance, probe)
                self._begin(self._probe_changes, instance, probe, f"probe {instance.name} {number}")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _begin(self, work: Any, *args: Any) -> None:
        thread = threading.Thread(target=self._reporting, args=(work, *args), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _reporting(self, work: Any, *args: Any) -> None:
        try:
            work(*args)
        except Exception as error:  # A writer that ended would promise nothing.
            self.broken.append(f"{work.__name__} ended: {error!r}")

    def customer(self, name: str, plan: str = "enterprise") -> str:
        """Make an organization with one key; return the key."""
        manage = self.instances[0].manage
        return manage(
            "issue_api_key", manage("create_organization", name, "--plan", plan), "--name", "CI"
        )

    def ask(
        self, method: str, path: str, key: str, *, by: Instance | None = None, **body: Any
    ) -> Answer:
        """Send a request through nginx, or directly to an instance, which may not answer."""
        host, port = (by.host, by.port) if by else ("127.0.0.1", self.front.port)
        headers = {"Host": "127.0.0.1", **(PROXIED if by else {})}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        else:  # A finder, one of many: an address may report 60 times an hour.
            headers["X-Forwarded-For"] = ".".join(map(str, random.choices(range(1, 224), k=4)))
        if body:
            headers["Content-Type"] = "application/json"
        if "name" in body and method == "POST":
            headers["Idempotency-Key"] = body["name"].replace(" ", "-")
        connection = http.client.HTTPConnection(host, port, timeout=30)
        began = time.monotonic()
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            answer = Answer(
                response.status, json.loads(response.read() or b"null"), dict(response.headers)
            )
        except http.client.IncompleteRead:
            answer = Answer(CUT)
        except (OSError, http.client.HTTPException) as error:
            answer = Answer(NO_ANSWER, repr(error))
        finally:
            connection.close()
        took = time.monotonic() - began
        self.statuses[answer.status] += 1
        self.slowest = max(self.slowest, took)
        to = by.name if by else "nginx"
        what = f"{datetime.now(UTC):%T} {method} {path} by {to}: {answer.status}"
        if took > LONGEST_ANSWER_SECONDS:
            self.broken.append(f"{what} after {took:.1f} s")
        if answer.status >= 500 and answer.status != 503:
            self.broken.append(f"{what} {answer.body}")
        if answer.status == NO_ANSWER and not by:
            self.broken.append(f"{what} {answer.body}")
        return answer

    def _until(self, status: int, method: str, path: str, key: str, **body: Any) -> Any:
        """Repeat a request until its answer has this status; return its body, None at the end."""
        while not self._stop.is_set():
            answer = self.ask(method, path, key, **body)
            if answer.status == status:
                if method != "GET":
                    self.good["writes"].append(time.monotonic())
                return answer.body
            if answer.status not in BACK_SOON | {NO_ANSWER, CUT}:
                self.broken.append(f"{method} {path}: {answer.status} {answer.body}")
                return None
            time.sleep(0.3)
        return None

    def _write(self, key: str) -> None:
        active: list[tuple[str, str]] = []
        while not self._stop.is_set():
            name = f"key {next(self._numbers)}"
            if made := self._until(201, "POST", "/v1/keys", key, name=name):
                self.created[name] = made["id"]
                active.append((made["id"], made["key"]))
                self.kept[made["id"]] = made["key"]
                self._require(200, made["key"], f"made key {made['id']}")
            if len(active) > KEPT_ACTIVE:
                ended, plaintext = active.pop(0)
                del self.kept[ended]
                if ended[-1] in LEAKED:
                    self._leak(ended, plaintext)
                elif self._until(200, "DELETE", f"/v1/keys/{ended}", key):
                    self.revoked[ended] = plaintext
                    self._require(401, plaintext, f"revoked key {ended}")
            time.sleep(0.02)

    def _leak(self, ended: str, plaintext: str) -> None:
        """Report a key as exposed. Once it was refused, it must never work again."""
        path, began = "/v1/revoke_exposed", time.monotonic()
        while not self._stop.is_set():
            by = random.choice(self.instances)
            if self.ask("POST", path, "", by=by, keys=[plaintext]).status == 202:
                break
            time.sleep(0.3)
        while not self._stop.is_set():
            if self.ask("GET", "/v1/auth/me", plaintext).status == 401:
                self.revoked[ended] = plaintext
                self.leaked += 1
                return
            if time.monotonic() - began > LONGEST_TO_REVOKE_SECONDS:
                self.broken.append(f"reported key {ended} is alive")
                return
            time.sleep(0.3)

    def _require(self, wanted: int, key: str, said: str) -> bool:
        """Present a key to each instance. Return False if not all have answered `wanted`.

        The way without HAProxy may lead to an old primary for a moment: docs/ha.md.
        """
        statuses = []
        for instance in self.instances:
            statuses.append(status := self.ask("GET", "/v1/auth/me", key, by=instance).status)
            if status not in {wanted, 503, NO_ANSWER, CUT}:
                is_awake_again = time.monotonic() - self.woken < LONGEST_STALE_SECONDS
                is_stale = instance.route == "hosts" and is_awake_again
                found = self.stale if is_stale else self.broken
                found.append(f"{said}: {status} by {instance.name}, by {instance.route}")
        return set(statuses) == {wanted}

    def _until_dead(self, ended: str) -> None:
        try:
            key, said = self.revoked[ended], f"revoked key {ended}"
            until("401", lambda: self._require(401, key, said), seconds=20)
        except AssertionError:
            self.broken.append(f"revoked key {ended} got no 401")

    def _probe_reads(self, instance: Instance, key: str) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_PROBES):
            self._note("reads", instance, self.ask("GET", "/v1/auth/me", key, by=instance))

    def _probe_changes(self, instance: Instance, key: str, name: str) -> None:
        own = self._until(201, "POST", "/v1/keys", key, name=name)
        for number in itertools.count():
            if self._stop.wait(SECONDS_BETWEEN_PROBES):
                return
            path, new = f"/v1/keys/{own['id']}", f"{name} {number}"
            self._note("changes", instance, self.ask("PATCH", path, key, by=instance, name=new))

    def _note(self, what: str, instance: Instance, answer: Answer) -> None:
        if answer.status == 200:
            self.good[f"{what} {instance.name}"].append(time.monotonic())
        elif answer.status not in {503, NO_ANSWER, CUT}:
            self.broken.append(f"{what} by {instance.name}: {answer}")

    def is_good_since(self, moment: float) -> bool:
        """Return True if reads and writes on each instance have succeeded after `moment`."""
        return all(times and times[-1] > moment for times in self.good.values())

    def longest_gap(self, since: float) -> float:
        """Return the longest time without a success, of reads or of writes, on any instance."""
        gaps = [0.0]
        for times in self.good.values():
            moments = [since, *(moment for moment in times if moment > since), time.monotonic()]
            gaps += [later - earlier for earlier, later in itertools.pairwise(moments)]
        return max(gaps)

    def acknowledged(self) -> int:
        return len(self.created) + len(self.revoked)

    def check(self) -> None:
        """Compare the primary with the ledger: rows, audit events, seals, keys by HTTP."""
        created, revoked = dict(self.created), dict(self.revoked)
        with self.cluster.connect() as connection:
            keys = connection.execute("SELECT id, name, revoked_at FROM apikeys_apikey").fetchall()
            events = Counter(
                connection.execute(
                    "SELECT target_id, action FROM audit_auditevent WHERE target_type = 'api_key'"
                ).fetchall()
            )
        there = {key: ended for key, _, ended in keys}
        times = Counter(name for _, name, _ in keys)
        for name, key in created.items():
            if key not in there:
                self.broken.append(f"creation lost: {name} {key}")
            if times[name] > 1:
                self.broken.append(f"created {times[name]} times: {name}")
            if (found := events[key, "api_key.issued"]) != 1:
                self.broken.append(f"{found} events of the creation of {name}")
        for key in revoked:
            if there.get(key) is None:
                self.broken.append(f"revocation lost: {key}")
            if (found := events[key, "api_key.revoked"]) != 1:
                self.broken.append(f"{found} events of the revocation of {key}")
        for key in random.sample(sorted(revoked), min(len(revoked), SAMPLE)):
            self._until_dead(key)
        kept = sorted(dict(self.kept).items())
        for key, plaintext in random.sample(kept, min(len(kept), SAMPLE)):
            is_refused = self.ask("GET", "/v1/auth/me", plaintext).status == 401
            if is_refused and key in self.kept:
                self.broken.append(f"made key {key} is refused")
        try:
            self.instances[0].manage("verify_audit")
        except AssertionError as error:
            self.broken.append(f"verify_audit: {error}")
