"""Tests of a caller that loses its authority between authentication and write: it does nothing.

Each request has authenticated and waits for the organization's lock. The transaction that holds
the lock takes the caller's authority away.
"""

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from apikeys.models import ApiKey, KeySecret, RememberedRequest
from apikeys.verbs.change import change
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import ApiClient
from tests.support.races import Call, RaceTestCase, delete, patch, post

MINUTE = {"overlap_seconds": 60}


class LostAuthorityTests(RaceTestCase):
    def setUp(self) -> None:
        """Prepare a request of every verb, and a key for each of them."""
        super().setUp()
        self.caller, self.client_of_caller = self.issue()
        self.others = self.on_others(self.client_of_caller)
        self.on_itself = self.of_itself(self.client_of_caller)

    def on_others(self, client: ApiClient) -> dict[str, Call]:
        def send(path: str, body: object, token: str) -> Call:
            return post(client, path, body, **{"Idempotency-Key": token})

        def target(verb: str = "", *, rotating: bool = False) -> str:
            api_key, _ = self.issue()
            if rotating:
                rotate(api_key, actor=Actor.cli(), overlap=timedelta(days=1))
            return f"/v1/keys/{api_key.pk}{verb}"

        made = send("/v1/keys", {"name": "made"}, "made")
        self.assertEqual(made().status_code, 201)
        return {
            "issue": post(client, "/v1/keys", {"name": "late"}),
            "issue with a token": send("/v1/keys", {"name": "late"}, "late"),
            "change": patch(client, target(), {"name": "late"}),
            "rotate": post(client, target("/rotate"), MINUTE),
            "finish_rotation": post(client, target("/finish_rotation", rotating=True), {}),
            "revoke": delete(client, target()),
            "cascade": delete(client, target("?cascade=true")),
            "replay of issue": made,
        }

    def of_itself(self, client: ApiClient) -> dict[str, Call]:
        path = f"/v1/keys/{self.caller.pk}"
        return {
            "change itself": patch(client, path, {"name": "late"}),
            "rotate itself": post(client, f"{path}/rotate", MINUTE),
            "finish its rotation": post(client, f"{path}/finish_rotation", {}),
            "revoke itself": delete(client, path),
        }

    def assertNothingDone(
        self, calls: dict[str, Call], change: Callable[[], object], status: int, code: str
    ) -> None:
        with self.queue() as queue:
            self.lock_organization()
            queue.add(*calls.values())
            change()
            before = self.state()
        for verb, answer in zip(calls, queue.answers(), strict=True):
            with self.subTest(verb):
                self.assertRefused(answer, status, code)
        self.assertEqual(self.state(), before)

    def state(self) -> list[object]:
        tables = (ApiKey, KeySecret, RememberedRequest, AuditEvent)
        return [list(table.objects.order_by("pk").values()) for table in tables]

    def test_waiting_verbs_are_carried_out_if_the_caller_lost_nothing(self):
        with self.queue() as queue:
            self.lock_organization()
            queue.add(*self.others.values())
        for verb, answer in zip(self.others, queue.answers(), strict=True):
            with self.subTest(verb):
                self.assertEqual(answer.status_code, 201 if "issue" in verb else 200)

    def test_waiting_verbs_do_nothing_if_the_caller_was_restricted(self):
        def narrow() -> None:
            change(self.caller, actor=Actor.cli(), scopes=["tests:read"])

        self.assertNothingDone(self.others, narrow, 403, "insufficient_scope")

    def test_waiting_verbs_do_nothing_if_the_caller_was_given_a_share(self):
        def limit() -> None:
            change(self.caller, actor=Actor.cli(), max_tests_per_month=5)

        calls = {verb: self.others[verb] for verb in ("change", "rotate", "finish_rotation")}
        self.assertNothingDone(calls, limit, 403, "exceeds_caller")

    def test_waiting_verbs_do_nothing_if_the_callers_secret_is_being_rotated_out(self):
        def retire() -> None:
            rotate(self.caller, actor=Actor.cli(), overlap=timedelta(days=1))

        calls = {verb: self.others[verb] for verb in ("change", "rotate", "finish_rotation")}
        calls["rotate itself"] = self.on_itself["rotate itself"]
        self.assertNothingDone(calls, retire, 403, "exceeds_caller")

    def test_waiting_verbs_do_nothing_if_the_caller_was_bound_to_other_addresses(self):
        def bind() -> None:
            change(self.caller, actor=Actor.cli(), allowed_ips=["192.0.2.0/24"])

        self.assertNothingDone(self.others | self.on_itself, bind, 403, "ip_not_allowed")

    def test_waiting_verbs_do_nothing_if_the_organization_was_suspended(self):
        def suspend() -> None:
            self.acme.suspend(actor=Actor.cli(), reason="unpaid")

        self.assertNothingDone(self.others | self.on_itself, suspend, 403, "organization_suspended")

    def test_waiting_verbs_do_nothing_if_the_caller_expired(self):
        def expire() -> None:
            ApiKey.objects.filter(pk=self.caller.pk).update(expires_at=timezone.now())

        self.assertNothingDone(self.others | self.on_itself, expire, 401, "api_key_expired")

    def test_waiting_verbs_do_nothing_if_the_caller_was_revoked(self):
        def end_key() -> None:
            revoke(self.caller, actor=Actor.cli())

        self.assertNothingDone(self.others | self.on_itself, end_key, 401, "api_key_invalid")

    def test_waiting_verbs_do_nothing_if_the_callers_secret_ended(self):
        def end() -> None:
            rotate(self.caller, actor=Actor.cli(), overlap=timedelta(0))

        self.assertNothingDone(self.others | self.on_itself, end, 401, "api_key_expired")
