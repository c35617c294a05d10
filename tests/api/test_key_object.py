"""Tests of `GET /v1/keys/{id}`: what a key object shows, and that it holds no secret."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

from apikeys.models import ApiKey, KeySecret
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.issue import issue
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import Answer, ApiClient, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
DAY = timedelta(days=1)
DOCUMENTED = [
    "id",
    "object",
    "name",
    "key_hint",
    "scopes",
    "created_at",
    "expires_at",
    "livemode",
    "status",
    "last_used_at",
    "revoked_at",
    "revoked_reason",
    "created_by",
    "allowed_ips",
    "secrets",
    "max_tests_per_month",
    "scope_usage",
    "unused_scopes",
]
OF_A_SECRET = ["locator", "key_hint", "created_at", "last_used_at", "expires_at"]


def path(api_key: ApiKey) -> str:
    return f"/v1/keys/{api_key.id}"


@time_machine.travel(NOW, tick=False)
class KeyObjectTests(ApiTestCase):
    def setUp(self) -> None:
        self.root, self.api = self.issue(name="root")

    def show(self, api_key: ApiKey) -> dict[str, Any]:
        response = self.api.get(path(api_key))
        self.assertEqual(response.status_code, 200, response.content)
        self.assertEqual(list(response.json()), DOCUMENTED)
        for secret in response.json()["secrets"]:
            self.assertEqual(list(secret), OF_A_SECRET)
        answer: dict[str, Any] = response.json()
        return answer

    def test_get_of_a_fresh_key_answers_what_its_creation_answered(self):
        body = {
            "name": "CI",
            "scopes": ["tests:read"],
            "expires_at": "2027-01-01T00:00:00Z",
            "allowed_ips": ["192.0.2.7", "2001:db8::/32"],
        }
        created = self.api.send("/v1/keys", body).json()
        key = created.pop("key")

        answer = self.show(ApiKey.objects.get(pk=created["id"]))

        self.assertEqual(answer, created)
        self.assertEqual(
            answer,
            {
                "id": created["id"],
                "object": "api_key",
                "name": "CI",
                "key_hint": f"...{key[-4:]}",
                "scopes": ["tests:read"],
                "created_at": "2026-03-11T10:30:00Z",
                "expires_at": "2027-01-01T00:00:00Z",
                "livemode": True,
                "status": "active",
                "last_used_at": None,
                "revoked_at": None,
                "revoked_reason": None,
                "created_by": f"key:{self.root.id}",
                "allowed_ips": ["192.0.2.7", "2001:db8::/32"],
                "secrets": [
                    {
                        "locator": key[8:16],
                        "key_hint": f"...{key[-4:]}",
                        "created_at": "2026-03-11T10:30:00Z",
                        "last_used_at": None,
                        "expires_at": None,
                    }
                ],
                "max_tests_per_month": None,
                "scope_usage": {"tests:read": None},
                "unused_scopes": [],
            },
        )

    def test_key_object_lists_both_secrets_during_a_rotation_and_one_after(self):
        api_key, old = self.issue()
        with time_machine.travel(NOW + DAY, tick=False):
            new = self.rotate(self.api, api_key, overlap_seconds=3600)
            answer = self.show(api_key)
        self.assertEqual(answer["key_hint"], f"...{new.key[-4:]}")
        self.assertEqual(
            [(s["locator"], s["created_at"], s["expires_at"]) for s in answer["secrets"]],
            [
                (new.key[8:16], "2026-03-12T10:30:00Z", None),
                (old.key[8:16], "2026-03-11T10:30:00Z", "2026-03-12T11:30:00Z"),
            ],
        )
        with time_machine.travel(NOW + DAY + timedelta(hours=1), tick=False):
            (secret,) = self.show(api_key)["secrets"]
        self.assertEqual(secret["locator"], new.key[8:16])

    def test_key_hint_is_the_older_secrets_after_a_cascade_ended_the_newest(self):
        helper, helping = self.make(self.api)
        api_key, old = self.issue()
        self.rotate(helping, api_key)
        self.api.delete(f"{path(helper)}?cascade=true")
        answer = self.show(api_key)
        self.assertEqual([s["locator"] for s in answer["secrets"]], [old.key[8:16]])
        self.assertEqual(answer["key_hint"], f"...{old.key[-4:]}")

    def test_expired_key_has_status_expired_and_keeps_its_fields(self):
        api_key, _ = self.issue(expires_at=NOW + DAY, scopes=["tests:read"])
        before = self.show(api_key)
        with time_machine.travel(NOW + DAY, tick=False):
            self.assertEqual(self.show(api_key), before | {"status": "expired"})

    def test_revoked_key_shows_when_and_why_it_was_revoked(self):
        api_key, _ = self.issue(expires_at=NOW + DAY)
        before = self.show(api_key)
        self.api.delete(f"{path(api_key)}?reason=left%20in%20a%20log")
        revoked = {
            "status": "revoked",
            "revoked_at": "2026-03-11T10:30:00Z",
            "revoked_reason": "left in a log",
        }
        self.assertEqual(self.show(api_key), before | revoked)
        with time_machine.travel(NOW + 2 * DAY, tick=False):
            self.assertEqual(self.show(api_key)["status"], "revoked")

    def test_key_object_names_the_creating_key_and_no_member_of_staff_or_their_reason(self):
        by_staff = ApiKey(organization=self.acme, name="x")
        issue(by_staff, actor=Actor.staff(self.sam))
        revoke(by_staff, actor=Actor.staff(self.sam), reason="suspicious customer")
        by_cli, _ = self.issue()
        revoke(by_cli, actor=Actor.cli(), reason="suspicious customer")
        by_key, _ = self.make(self.api)
        for api_key, maker in [
            (by_staff, "staff"),
            (by_cli, "cli"),
            (by_key, f"key:{self.root.id}"),
        ]:
            with self.subTest(maker):
                answer = self.show(api_key)
                self.assertEqual(answer["created_by"], maker)
                self.assertIsNone(answer["revoked_reason"])
                self.assertNotIn("sam", str(answer))
                self.assertNotIn("suspicious", str(answer))

    def test_key_object_holds_no_plaintext_and_no_digest(self):
        api_key, old = self.issue()
        new = self.rotate(self.api, api_key)
        text = self.api.get(path(api_key)).content.decode()
        for client in (old, new):
            self.assertIn(client.key[8:16], text)
            self.assertNotIn(client.key[16:25], text)
        for digest in KeySecret.objects.values_list("digest", flat=True):
            self.assertNotIn(bytes(digest).hex(), text)

    def test_last_used_at_of_a_key_is_the_latest_of_its_secrets_to_the_minute(self):
        api_key, old = self.issue()
        new = self.rotate(self.api, api_key, overlap_seconds=604800)
        steps: list[tuple[ApiClient, int, str]] = [
            (old, 0, "2026-03-11T10:30:00Z"),
            (old, 59, "2026-03-11T10:30:00Z"),
            (old, 60, "2026-03-11T10:31:00Z"),
            (new, 90, "2026-03-11T10:31:30Z"),
            (old, 121, "2026-03-11T10:32:01Z"),
        ]
        for client, seconds, shown in steps:
            with (
                self.subTest(seconds),
                time_machine.travel(NOW + timedelta(seconds=seconds), tick=False),
            ):
                client.get("/v1/auth/me")
                self.assertEqual(self.show(api_key)["last_used_at"], shown)
        uses = [secret["last_used_at"] for secret in self.show(api_key)["secrets"]]
        self.assertEqual(uses, ["2026-03-11T10:31:30Z", "2026-03-11T10:32:01Z"])

    def test_last_used_at_of_a_key_counts_ended_secrets(self):
        api_key, old = self.issue()
        old.get("/v1/auth/me")
        self.rotate(self.api, api_key, overlap_seconds=0)
        answer = self.show(api_key)
        self.assertEqual(answer["last_used_at"], "2026-03-11T10:30:00Z")
        self.assertIsNone(answer["secrets"][0]["last_used_at"])


@time_machine.travel(NOW, tick=False)  # Answers are compared, and name the end of the minute.
class PermissionTests(ApiTestCase):
    def test_restricted_key_can_get_itself_and_no_other(self):
        other, client = self.issue()
        narrow, restricted = self.issue(scopes=list(ALL_SCOPES[:-1]))
        self.assertEqual(restricted.get(path(narrow)).status_code, 200)
        self.assertEqual(client.get(path(narrow)).status_code, 200)
        self.assertRefused(restricted.get(path(other)), 403, "insufficient_scope")

    def test_restricted_key_cannot_tell_existing_ids_from_unknown_ones(self):
        other, _ = self.issue()
        _, restricted = self.issue(scopes=["tests:read"])
        answers = {
            restricted.get(p, headers={"Request-Id": "the-same-id"}).content
            for p in (path(other), "/v1/keys/key_000000000000", "/v1/keys/x", "/v1/keys/%00")
        }
        self.assertEqual(len(answers), 1)

    def test_unknown_id_of_a_key_is_the_same_404_as_one_of_another_organization_or_mode(self):
        api_key, client = self.issue()
        foreign, _ = self.issue(organization=self.globex)
        sandbox, _ = self.issue(livemode=False)
        ids = [
            foreign.id, sandbox.id, "key_000000000000", self.acme.id, "evt_000000000000",
            "%00", f"{api_key.id}%00", f"{api_key.id}%0A", f"{api_key.id}%20", api_key.id.upper(),
            api_key.id[:-1], f"{api_key.id}0", "key_", "key", "x", "0", "-1", "None", "..%2e",
            "key_" + "x" * 4000, "schl%C3%BCssel", "%F0%9F%94%91", "%FF%FE", "%ED%A0%80",
            "'%20OR%201=1%20--", "*", "%25", "key_%25",
        ]  # fmt: skip
        same = {"Request-Id": "the-same-id"}
        calls: dict[str, Any] = {
            "get": lambda p: client.get(p, headers=same),
            "patch": lambda p: client.patch(
                p, {"name": "x"}, content_type="application/json", headers=same
            ),
            "delete": lambda p: client.delete(p, headers=same),
            "cascade": lambda p: client.delete(f"{p}?cascade=true", headers=same),
            "rotate": lambda p: client.send(f"{p}/rotate", {}, **same),
            "finish": lambda p: client.send(f"{p}/finish_rotation", {}, **same),
            "events": lambda p: client.get(f"{p}/events", headers=same),
        }
        for name, call in calls.items():
            answers = set()
            # The later ids differ in shape only, which all verbs check in one place.
            for key_id in ids if name == "get" else ids[:8]:
                with self.subTest(f"{name} {key_id[:40]}"):
                    response: Answer = call(f"/v1/keys/{key_id}")
                    self.assertRefused(response, 404, "resource_not_found")
                    headers = {**response.headers, "RateLimit-Remaining": ""}
                    answers.add((response.content, str(sorted(headers.items()))))
            self.assertEqual(len(answers), 1, name)
        self.assertEqual(self.actions(foreign) + self.actions(sandbox), ["issued", "issued"])

    def test_malformed_key_id_costs_no_query(self):
        api_key, client = self.issue()
        client.get("/v1/auth/me")
        with self.assertNumQueries(1):
            client.get("/v1/keys/%00")
        with self.assertNumQueries(2):
            client.get("/v1/keys/key_000000000000")
        client.get(path(api_key))
        with self.assertNumQueries(4):
            client.get(path(api_key))

    def test_key_object_answers_head_without_a_body(self):
        api_key, client = self.issue()
        response = client.head(path(api_key))
        self.assertEqual((response.status_code, response.content), (200, b""))
        self.assertEqual(client.head("/v1/keys/key_000000000000").status_code, 404)
