"""Tests of escalation: what each kind of key may do, and the escapes that attackers tried."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.db import transaction

from apikeys.models import ApiKey, KeySecret
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import Answer, ApiClient, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
END = "2026-03-12T10:30:00Z"
LIMITS: dict[str, dict[str, Any]] = {
    "an end": {"expires_at": NOW + timedelta(days=1)},
    "addresses": {"allowed_ips": ["127.0.0.1"]},
    "a share": {"max_tests_per_month": 5},
}

# "." is carried out; the other marks are the codes below. * is on the calling key itself.
TABLE = """
               issue change* change rotate* rotate finish* finish revoke* revoke cascade look* look
no limits      .     .       .      .       .      .       .      .       .      .       .     .
an end         .     .       X      .       X      .       X      .       .      .       .     .
addresses      .     .       X      .       X      .       X      .       .      .       .     .
a share        .     .       X      .       X      .       X      .       .      .       .     .
rotated out    .     .       X      X       X      .       X      .       .      .       .     .
end, rotated   .     .       X      X       X      .       X      .       .      .       .     .
fewer scopes   S     S       S      .       S      .       S      .       S      S       .     S
fewer, an end  S     S       S      .       S      .       S      .       S      S       .     S
fewer, rotated S     S       S      X       S      .       S      .       S      S       .     S
test mode      .     .       N      .       N      .       N      .       N      N       .     N
a stranger     .     .       N      .       N      .       N      .       N      N       .     N
"""
CODES = {
    "X": (403, "exceeds_caller"),
    "S": (403, "insufficient_scope"),
    "N": (404, "resource_not_found"),
}
CHANGES: list[dict[str, Any]] = [
    {"name": "x"},
    {"expires_at": END, "max_tests_per_month": 5, "allowed_ips": ["127.0.0.1"]},
    {"scopes": ["tests:read"]},
    {"scopes": list(ALL_SCOPES), "expires_at": None},
    {},
]


def path(api_key: ApiKey, verb: str = "") -> str:
    return f"/v1/keys/{api_key.id}{verb}"


@time_machine.travel(NOW, tick=False)
class VerbTableTests(ApiTestCase):
    """The other key is being rotated and has made a key; each attack is rolled back."""

    def setUp(self) -> None:
        self.other, holder = self.issue(name="other")
        self.make(holder)
        self.rotate(holder, self.other)

    def caller(self, kind: str) -> tuple[ApiKey, ApiClient]:
        fields = dict(LIMITS["an end"]) if "end" in kind else dict(LIMITS.get(kind, {}))
        if "fewer" in kind:
            fields["scopes"] = list(ALL_SCOPES[:-1])
        if kind == "test mode":
            fields["livemode"] = False
        if kind == "a stranger":
            fields["organization"] = self.globex
        api_key, client = self.issue(**fields)
        if "rotated" in kind:
            rotate(api_key, actor=Actor.cli(), overlap=timedelta(hours=1))
        return api_key, client

    def attacks(self, me: ApiKey, by: ApiClient) -> dict[str, list[Callable[[], Answer]]]:
        def on(target: ApiKey, suffix: str) -> dict[str, list[Callable[[], Answer]]]:
            # On itself only the first change, because not every key may have the others' values.
            bodies = CHANGES if target is not me else CHANGES[:1]
            return {
                f"change{suffix}": [
                    lambda body=body: by.change(path(target), body)  # type: ignore[misc]
                    for body in bodies
                ],
                f"rotate{suffix}": [
                    lambda body=body: by.send(path(target, "/rotate"), body)  # type: ignore[misc]
                    for body in ({}, {"overlap_seconds": 0})
                ],
                f"finish{suffix}": [lambda: by.send(path(target, "/finish_rotation"), {})],
                f"revoke{suffix}": [lambda: by.delete(path(target))],
                f"look{suffix}": [
                    lambda suffix=suffix: by.get(path(target, suffix))  # type: ignore[misc]
                    for suffix in ("", "/usage", *(["/events"] * (target is not me)))
                ],
            }

        looks: list[Callable[[], Answer]] = [
            lambda: by.get("/v1/keys"),
            lambda: by.head("/v1/keys"),
        ]
        found = on(me, "*")
        found["look*"] += [*looks, lambda: by.get("/v1/auth/me")]
        return {
            "issue": [lambda: by.send("/v1/keys", {"name": "made"})],
            "cascade": [lambda: by.delete(path(self.other, "?cascade=true"))],
            **on(self.other, ""),
            **found,
        }

    def state(self) -> list[object]:
        secrets = KeySecret.objects.order_by("pk").values_list("pk", "expires_at", "ended_at")
        keys = ApiKey.objects.order_by("pk").values()
        return [list(secrets), list(keys), AuditEvent.objects.count()]

    def test_each_verb_by_each_kind_of_key_is_allowed_or_refused_as_tabled(self):
        verbs, *rows = TABLE.strip("\n").splitlines()
        for row in rows:
            kind, outcomes = row[:15].strip(), row[15:].split()
            me, client = self.caller(kind)
            attacks = self.attacks(me, client)
            for verb, outcome in zip(verbs.split(), outcomes, strict=True):
                for attack in attacks[verb]:
                    with self.subTest(f"{kind}: {verb}"), transaction.atomic():
                        before = self.state()
                        self.check(attack(), outcome, kind, verb, before)
                        transaction.set_rollback(True)

    def check(self, response: Answer, outcome: str, kind: str, verb: str, before: object) -> None:
        if outcome == ".":
            self.assertLess(response.status_code, 300, response.content)
            if verb == "issue":
                self.assertIsLimitedAs(kind, ApiKey.objects.get(name="made"))
            return
        error = self.assertRefused(response, *CODES[outcome])
        if outcome == "X":
            rotating_itself = verb == "rotate*"
            says = "so can our staff" if rotating_itself else "Use a key without limits"
            if verb != "rotate" or "rotated" not in kind:
                self.assertIn(says, error["fix"])
        self.assertEqual(self.state(), before)

    def assertIsLimitedAs(self, kind: str, made: ApiKey) -> None:
        limits = LIMITS["an end"] if kind.startswith("end") else LIMITS.get(kind, {})
        if "rotated" in kind:
            limits = {"expires_at": NOW + timedelta(hours=1)}
        for name in ("expires_at", "allowed_ips", "max_tests_per_month"):
            self.assertEqual(getattr(made, name), limits.get(name), name)


class RotatedOutTests(ApiTestCase):
    """A secret leaked, its owner rotated the key, and the attacker who holds it wants to stay."""

    def setUp(self) -> None:
        self.admin_key, self.admin = self.issue(name="admin")
        self.key, self.leaked = self.issue(name="leaked")
        self.owner = self.rotate(self.admin, self.key, overlap_seconds=600)
        self.child = self.make(self.leaked)[1]

    def end_of_leaked(self) -> str:
        shown = self.leaked.get(path(self.key)).json()["secrets"]
        ends = {secret["locator"]: secret["expires_at"] for secret in shown}
        end: str = ends[self.leaked.key[8:16]]
        return end

    def assertCannotRotate(self) -> None:
        for attacker in (self.leaked, self.child):
            for headers in ({}, {"Idempotency-Key": "t-1"}):
                response = attacker.send(path(self.key, "/rotate"), {}, **headers)
                self.assertRefused(response, 403, "exceeds_caller")

    def test_leaked_secret_cannot_free_itself_by_revoking_the_key_that_rotated_it(self):
        end = self.end_of_leaked()
        for attacker in (self.child, self.leaked):
            response = attacker.delete(path(self.admin_key, "?cascade=true"))
            self.assertEqual(response.status_code, 200)
        self.assertRefused(self.owner.get("/v1/auth/me"), 401, "api_key_expired")
        self.assertEqual(self.end_of_leaked(), end)
        self.assertCannotRotate()
        # The owner can rotate, and the leaked secret ends no later than before.
        new = self.rotate(self.issue()[1], self.key, overlap_seconds=604800)
        self.assertEqual(new.get("/v1/auth/me").status_code, 200)
        self.assertEqual(self.end_of_leaked(), end)

    def test_leaked_secret_cannot_shorten_its_key_and_then_rotate_it(self):
        body = {"expires_at": self.end_of_leaked()}
        self.assertRefused(self.child.change(path(self.key), body), 403, "exceeds_caller")
        self.assertEqual(self.leaked.change(path(self.key), body).status_code, 200)
        self.assertCannotRotate()

    def test_leaked_secret_cannot_repeat_a_rotation_with_the_same_idempotency_key(self):
        self.key, self.leaked = self.issue()
        self.child = self.make(self.leaked)[1]
        rotated = self.leaked.send(path(self.key, "/rotate"), {}, **{"Idempotency-Key": "t-1"})
        newest = ApiClient(rotated.json()["key"])
        response = self.leaked.send(path(self.key, "/rotate"), {}, **{"Idempotency-Key": "t-1"})
        self.assertRefused(response, 403, "exceeds_caller")
        self.assertEqual(newest.get("/v1/auth/me").status_code, 200)

    def test_leaked_secret_cannot_outlive_its_end_through_a_chain_of_children(self):
        makers = [self.leaked, self.child]
        old = KeySecret.objects.get(locator=self.leaked.key[8:16])
        for _ in range(3):
            made, client = self.make(makers[-1])
            makers.append(client)
            self.assertEqual(made.expires_at, old.expires_at)


class LimitedTests(ApiTestCase):
    """An unrestricted key with a limit wants the secret of a key that has none."""

    def test_limited_key_cannot_rotate_an_unlimited_one_after_unrelated_changes(self):
        _, owner = self.issue()
        _, limited = self.make(owner, max_tests_per_month=5)
        target, _ = self.issue()
        for by, body in [
            (limited, {"max_tests_per_month": 5}),
            (owner, {"max_tests_per_month": 5}),
            (owner, {"name": "x"}),
        ]:
            done = by.change(path(target), body).status_code == 200
            self.assertEqual(done, by is owner)
            response = limited.send(path(target, "/rotate"), {})
            self.assertRefused(response, 403, "exceeds_caller")
        self.assertEqual(owner.send(path(target, "/rotate"), {}).status_code, 200)
