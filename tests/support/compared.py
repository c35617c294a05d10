"""The service and its model side by side: each call is made to both and compared."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

import time_machine
from django.db import transaction
from django.test import Client
from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine, invariant

from apikeys.models import ApiKey
from audit.actor import Actor
from audit.models import AuditHead
from tests.support.cast import ApiTestCase
from tests.support.key_model import (
    ADDRESSES,
    INHERIT,
    NEVER,
    PLACES,
    Key,
    Refused,
    Secret,
    Wish,
    World,
)
from web.errors.refusals import Refusal

T = TypeVar("T")

START = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
LIMIT = 4  # Keys of an organization in a mode.
CLIENT = Client()
NAMES = {"scopes": "scopes", "end": "expires_at", "networks": "allowed_ips"}
STATUS = {
    "parameter_invalid": 400,
    "api_key_invalid": 401,
    "api_key_expired": 401,
    "insufficient_scope": 403,
    "exceeds_caller": 403,
    "ip_not_allowed": 403,
    "organization_suspended": 403,
    "key_limit_reached": 403,
    "resource_not_found": 404,
    "key_not_active": 409,
    "idempotency_key_reused": 409,
    "idempotency_secret_used": 409,
}


class Compared(RuleBasedStateMachine):
    """Begins with two organizations; everything is rolled back. Subclasses add rules."""

    # How often each outcome of each verb occurred, over all sequences.
    met: Counter[str] = Counter()

    def __init__(self, case: ApiTestCase) -> None:
        super().__init__()
        self.organizations = {org.pk: org for org in (case.acme, case.globex)}
        self.staff = Actor.staff(case.sam)
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.clock = time_machine.travel(START, tick=False)
        self.traveller = self.clock.start()
        self.world = World(now=START, limit=LIMIT, events=Counter(self.events()))

    def teardown(self) -> None:
        """Present every secret that was ever issued, then forget everything."""
        try:
            for secret in self.world.secrets:
                self.use(secret, "")
        finally:
            self.clock.stop()
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    @invariant()
    def every_change_and_nothing_else_wrote_an_event(self) -> None:
        assert self.events() == self.world.events

    def use(self, by: Secret, place: str) -> None:
        """Ask for the caller, with GET /v1/auth/me."""
        if done := self.call(by, place, partial(self.world.use, by), "GET /v1/auth/me"):
            assert done[1]["key_id"] == by.key.id
            assert set(done[1]["scopes"]) == by.key.scopes

    def call(
        self,
        by: Secret,
        place: str,
        expect: partial[T],
        what: str,
        *,
        body: dict[str, Any] | None = None,
        token: str = "",
    ) -> tuple[T, Any] | None:
        """Send a request and compare; return the expected and real answers, None if refused."""
        method, path = what.split()
        place = place or min(PLACES[by.key.networks])

        def authenticated() -> T:
            self.world.authenticate(by, place)
            return expect()

        expected, code = outcome(authenticated)
        note(f"{by!r} from {place} {token}: {what} {body or ''}: {code or 'done'}")
        self.met[f"{expect.func.__name__} {code or 'done'}"] += 1
        answer = CLIENT.generic(
            method,
            path,
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {by.plaintext}"}
            | ({"Idempotency-Key": token} if token else {}),
            REMOTE_ADDR=ADDRESSES[place],
        )
        answered = answer.json()
        assert answered.get("error", {}).get("code", "") == code, answered
        success = 201 if what == "POST /v1/keys" else 200
        assert answer.status_code == (STATUS[code] if code else success)
        if "Idempotent-Replayed" in answer:
            answered["replayed"] = answer["Idempotent-Replayed"]
        return None if code else (cast(T, expected), answered)

    def do(self, expect: partial[T], verb: Callable[[], Any]) -> tuple[T, Any] | None:
        """Call a verb as staff, and compare as `call` does."""
        expected, code = outcome(expect)
        note(f"staff: {expect.func.__name__} {expect.args}: {code or 'done'}")
        self.met[f"staff's {expect.func.__name__} {code or 'done'}"] += 1
        done, refusal = None, ""
        try:
            done = verb()
        except Refusal as refused:
            refusal = refused.code
        assert refusal == code
        return None if code else (cast(T, expected), done)

    def show(self, done: tuple[tuple[Secret, bool], Any] | None) -> None:
        """Note the plaintext in an answer, and the id of a new key."""
        if done is None:
            return
        (secret, replayed), answer = done
        if replayed:
            self.met["shown again"] += 1
        assert answer.pop("replayed", "") == ("true" if replayed else "")
        secret.plaintext, secret.key.id = answer["key"], secret.key.id or answer["id"]
        self.check(secret.key, answer)

    def check(self, key: Key, shown: dict[str, Any]) -> None:
        """Compare an answered key with the model's."""
        status = "active" if self.world.is_active(key) else "revoked" if key.revoked else "expired"
        wanted = {
            "id": key.id,
            "status": status,
            "livemode": key.livemode,
            "expires_at": as_json(key.end),
            "allowed_ips": as_json(key.networks),
        }
        assert {name: shown[name] for name in wanted} == wanted
        assert set(shown["scopes"]) == key.scopes
        assert {secret["locator"]: secret["expires_at"] for secret in shown["secrets"]} == {
            secret.plaintext[8:16]: as_json(NEVER if secret.end == NEVER else secret.own_end)
            for secret in key.secrets
            if self.world.is_live(secret)
        }

    def check_counts(self, expected: dict[str, int], shown: dict[str, int]) -> None:
        """Compare the counts of a cascade."""
        assert shown == expected
        self.met.update(name for name, count in expected.items() if count)

    def events(self) -> dict[str, int]:
        heads = AuditHead.objects.filter(pk__in=self.organizations)
        return dict(heads.values_list("pk", "sequence"))


def outcome(expect: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return expect(), ""
    except Refused as refused:
        return None, refused.code


def row(key: Key) -> Any:
    return ApiKey.objects.get(pk=key.id)


def path_of(key: Key) -> str:
    return f"/v1/keys/{key.id}"


def body_of(wish: Wish) -> dict[str, Any]:
    fields = {"scopes": wish.scopes, "end": wish.end, "networks": wish.networks}
    given = {NAMES[name]: as_json(value) for name, value in fields.items() if value != INHERIT}
    return {"name": "CI", **given}


def as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return None if value == NEVER else value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return sorted(value) if isinstance(value, frozenset) else value and list(value)
