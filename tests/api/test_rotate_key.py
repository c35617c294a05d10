"""Tests of `POST /v1/keys/{id}/rotate`: a new secret, with a bounded overlap of the old one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

from accounts.models import Organization
from apikeys.models import ApiKey, KeySecret, RememberedRequest
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import Answer, ApiClient, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def path(api_key: ApiKey) -> str:
    return f"/v1/keys/{api_key.id}/rotate"


@time_machine.travel(NOW, tick=False)
class RotateTests(ApiTestCase):
    def setUp(self) -> None:
        self.key, self.old = self.issue()

    def works(self, client: ApiClient) -> bool:
        response: Answer = client.get("/v1/auth/me")
        if response.status_code != 200:
            error = self.assertRefused(response, 401, "api_key_expired")
            self.assertIn("newest secret", error["fix"])
        return bool(response.status_code == 200)

    def test_rotate_answers_the_unchanged_key_and_the_new_secret_once(self):
        before = self.old.get(f"/v1/keys/{self.key.id}").json()

        response = self.old.send(path(self.key), {})

        self.assertEqual(response.status_code, 200)
        self.assertEqual(response["Cache-Control"], "no-store")
        answer = response.json()
        self.assertEqual(list(answer)[:5], ["id", "object", "name", "key", "key_hint"])
        plaintext = answer.pop("key")
        self.assertRegex(plaintext, r"^rk_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}$")
        self.assertEqual(answer["key_hint"], f"...{plaintext[-4:]}")
        moved = ("key_hint", "secrets")
        same = {name: value for name, value in before.items() if name not in moved}
        self.assertEqual({name: answer[name] for name in same}, same)
        self.assertEqual(len(answer["secrets"]), 2)
        shown = self.old.get(f"/v1/keys/{self.key.id}")
        self.assertEqual(shown.json(), answer)
        self.assertNotIn(plaintext[17:], shown.content.decode())

    def test_rotate_leaves_both_secrets_as_the_same_caller_during_the_overlap(self):
        new = self.rotate(self.old, self.key)
        self.assertEqual(new.get("/v1/auth/me").json(), self.old.get("/v1/auth/me").json())
        self.assertEqual(new.get("/v1/auth/me").json()["key_id"], self.key.id)

    def test_rotate_overlap_is_a_day_by_default_and_up_to_a_week(self):
        for fields, overlap in [
            ({}, DAY),
            ({"overlap_seconds": 1}, SECOND),
            ({"overlap_seconds": 604800}, 7 * DAY),
        ]:
            with self.subTest(fields):
                api_key, old = self.issue()
                new = self.rotate(old, api_key, **fields)
                with time_machine.travel(NOW + overlap - SECOND, tick=False):
                    self.assertTrue(self.works(old))
                with time_machine.travel(NOW + overlap, tick=False):
                    self.assertFalse(self.works(old))
                    self.assertTrue(self.works(new))

    def test_rotate_without_overlap_ends_the_old_secret_at_once(self):
        new = self.rotate(self.old, self.key, overlap_seconds=0)
        self.assertFalse(self.works(self.old))
        self.assertTrue(self.works(new))
        with time_machine.travel(NOW - SECOND, tick=False):  # Even by a slower clock.
            self.assertFalse(self.works(self.old))

    def test_rotate_takes_no_body_or_an_empty_one_as_no_fields(self):
        table: list[tuple[bytes, dict[str, Any]]] = [
            (b"", {}),
            (b"", {"CONTENT_LENGTH": "0"}),
            (b"", {"CONTENT_LENGTH": "0", "content_type": "text/plain"}),
            (b"{}", {"content_type": "application/json"}),
            (b" { } ", {"content_type": "application/json"}),
        ]
        for body, headers in table:
            with self.subTest(body=body, headers=headers):
                api_key, old = self.issue()
                response = old.generic("POST", path(api_key), body, **headers)
                self.assertEqual(response.status_code, 200, response.content)
                ends = [secret["expires_at"] for secret in response.json()["secrets"]]
                self.assertEqual(ends, [None, "2026-03-12T10:30:00Z"])

    def test_rotate_with_an_invalid_overlap_is_refused_and_rotates_nothing(self):
        for overlap in [
            -1, 604801, 10**18, -(10**18), 1.5, 0.0, 1e3, "60", "", None, True, False, [60], {},
        ]:  # fmt: skip
            with self.subTest(repr(overlap)):
                response = self.old.send(path(self.key), {"overlap_seconds": overlap})
                self.assertRefused(response, 400, "parameter_invalid", field="overlap_seconds")
        for body in (b"[]", b"null", b"60", b"{", b'{"overlap_seconds": NaN}'):
            response = self.old.post(path(self.key), body, content_type="application/json")
            self.assertRefused(response, 400, "invalid_json")
        response = self.old.send(path(self.key), {"overlap": 60})
        error = self.assertRefused(response, 400, "parameter_unknown", field="overlap")
        self.assertIn("Did you mean overlap_seconds?", error["message"])
        response = self.old.post(path(self.key), b"{}", content_type="text/plain")
        self.assertRefused(response, 415, "unsupported_media_type")
        response = self.old.generic(
            "POST", path(self.key), headers={"Transfer-Encoding": "chunked"}
        )
        self.assertRefused(response, 411, "length_required")
        self.assertEqual(KeySecret.objects.count(), 1)
        self.assertEqual(self.actions(self.key), ["issued"])

    def test_second_rotation_ends_the_oldest_secret_so_that_two_live(self):
        second = self.rotate(self.old, self.key, overlap_seconds=604800)
        third = self.rotate(second, self.key, overlap_seconds=3600)
        self.assertEqual([self.works(c) for c in (self.old, second, third)], [False, True, True])
        fourth = self.rotate(third, self.key, overlap_seconds=604800)
        self.assertEqual([self.works(c) for c in (second, third, fourth)], [False, True, True])
        secrets = fourth.get(f"/v1/keys/{self.key.id}").json()["secrets"]
        self.assertEqual(len(secrets), 2)

    def test_rotation_after_the_last_overlap_ended_is_recorded_as_a_first_one(self):
        second = self.rotate(self.old, self.key, overlap_seconds=60)
        with time_machine.travel(NOW + DAY, tick=False):
            third = self.rotate(second, self.key, overlap_seconds=60)
            self.assertEqual([self.works(c) for c in (second, third)], [True, True])
            event = AuditEvent.objects.latest("sequence")
        self.assertCountEqual(event.changes, ["secret", "old_secret_ends"])

    def test_rotation_does_not_extend_the_keys_expiry(self):
        end = NOW + timedelta(hours=1)
        api_key, old = self.issue(expires_at=end)
        new = self.rotate(old, api_key, overlap_seconds=604800)
        answer = new.get(f"/v1/keys/{api_key.id}").json()
        self.assertEqual(answer["expires_at"], "2026-03-11T11:30:00Z")
        self.assertEqual(
            [secret["expires_at"] for secret in answer["secrets"]], [None, "2026-03-11T11:30:00Z"]
        )
        with time_machine.travel(end, tick=False):
            for client in (old, new):
                self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_expired")

    def test_extending_a_key_does_not_extend_its_retiring_secret(self):
        api_key, old = self.issue(expires_at=NOW + timedelta(hours=1))
        new = self.rotate(self.old, api_key, overlap_seconds=604800)
        self.old.change(f"/v1/keys/{api_key.id}", {"expires_at": None})
        with time_machine.travel(NOW + timedelta(hours=1), tick=False):
            self.assertEqual([self.works(old), self.works(new)], [False, True])

    def test_rotate_of_an_inactive_key_is_refused(self):
        revoked, _ = self.issue()
        self.old.delete(f"/v1/keys/{revoked.id}")
        expired, _ = self.issue(expires_at=NOW + SECOND)
        with time_machine.travel(NOW + SECOND, tick=False):
            for api_key in (revoked, expired):
                self.assertRefused(self.old.send(path(api_key), {}), 409, "key_not_active")
                self.assertEqual(api_key.secrets.count(), 1)

    def test_rotate_event_names_the_secrets_by_their_locators(self):
        second = self.rotate(self.old, self.key, overlap_seconds=60)
        third = self.rotate(second, self.key, overlap_seconds=0)
        first, last = AuditEvent.objects.filter(action="api_key.rotated").order_by("sequence")
        self.assertEqual(
            first.changes,
            {
                "secret": [self.old.key[8:16], second.key[8:16]],
                "old_secret_ends": [None, "2026-03-11T10:31:00Z"],
            },
        )
        self.assertEqual(
            last.changes,
            {
                "secret": [second.key[8:16], third.key[8:16]],
                "old_secret_ends": [None, "2026-03-11T10:30:00Z"],
                "ended_secret": [self.old.key[8:16], None],
            },
        )

    def test_rotated_secret_records_the_key_that_issued_it(self):
        root, client = self.issue()
        self.rotate(client, self.key)
        newest, _ = self.key.newest_and_retiring()
        assert newest is not None
        assert newest.issued_by is not None
        self.assertEqual(newest.issued_by.api_key_id, root.id)


@time_machine.travel(NOW, tick=False)
class RepeatedRotationTests(ApiTestCase):
    """Rotating again while the new secret is unused replaces it."""

    def setUp(self) -> None:
        _, self.api = self.issue()
        self.key, self.old = self.issue()

    def live(self) -> dict[str, str | None]:
        secrets = self.api.get(f"/v1/keys/{self.key.id}").json()["secrets"]
        return {secret["locator"]: secret["expires_at"] for secret in secrets}

    def assertEnded(self, *clients: ApiClient) -> None:
        for client in clients:
            self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_expired")

    def test_rotate_again_replaces_the_unused_secret_and_never_extends_the_older_one(self):
        for overlaps, minutes, end in [
            ((3600, 3600), 10, "2026-03-11T11:30:00Z"),
            ((3600, 604800), 59, "2026-03-11T11:30:00Z"),
            ((604800, 3600), 10, "2026-03-11T11:40:00Z"),
            ((3600, 60, 604800), 0.5, "2026-03-11T10:31:30Z"),
        ]:
            self.key, self.old = self.issue()
            with self.subTest(overlaps), time_machine.travel(NOW, tick=False) as clock:
                replaced = []
                for overlap in overlaps:
                    replaced.append(self.rotate(self.api, self.key, overlap_seconds=overlap))
                    clock.shift(timedelta(minutes=minutes))
                clock.shift(-timedelta(minutes=minutes))
                new = replaced.pop()
                self.assertEqual(self.live(), {self.old.key[8:16]: end, new.key[8:16]: None})
                self.assertEnded(*replaced)
                for client in (self.old, new):
                    self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_rotate_again_without_overlap_ends_the_older_secret_at_once(self):
        first = self.rotate(self.api, self.key, overlap_seconds=3600)
        new = self.rotate(self.api, self.key, overlap_seconds=0)
        self.assertEqual(self.live(), {new.key[8:16]: None})
        self.assertEnded(self.old, first)

    def test_rotate_again_by_staff_replaces_the_unused_secret(self):
        self.rotate(self.api, self.key)
        new = ApiClient(rotate(self.key, actor=Actor.staff(self.sam), overlap=7 * DAY))
        end = "2026-03-12T10:30:00Z"
        self.assertEqual(self.live(), {self.old.key[8:16]: end, new.key[8:16]: None})

    def test_rotate_again_event_names_all_three_secrets(self):
        first = self.rotate(self.api, self.key, overlap_seconds=3600)
        new = self.rotate(self.api, self.key, overlap_seconds=60)
        event = AuditEvent.objects.latest("sequence")
        self.assertEqual(event.action, "api_key.rotated")
        self.assertEqual(
            event.changes,
            {
                "secret": [self.old.key[8:16], new.key[8:16]],
                "old_secret_ends": ["2026-03-11T11:30:00Z", "2026-03-11T10:31:00Z"],
                "ended_secret": [first.key[8:16], None],
            },
        )

    def test_rotate_again_retires_a_secret_that_was_presented(self):
        acme = Organization.objects.filter(pk=self.acme.pk)
        for status, limit, fields in [
            (200, 100_000, {}),
            (429, 0, {}),
            (403, 100_000, {"allowed_ips": ["192.0.2.7"]}),
        ]:
            with self.subTest(status):
                self.key, self.old = self.issue(**fields)
                first = self.rotate(self.api, self.key, overlap_seconds=3600)
                acme.update(requests_per_minute=limit)
                self.assertEqual(first.get("/v1/auth/me").status_code, status)
                acme.update(requests_per_minute=100_000)
                new = self.rotate(self.api, self.key, overlap_seconds=60)
                end = "2026-03-11T10:31:00Z"
                self.assertEqual(self.live(), {first.key[8:16]: end, new.key[8:16]: None})
                self.assertEnded(self.old)

    def test_rotate_retires_an_unused_newest_secret_if_no_rotation_is_open(self):
        with time_machine.travel(NOW, tick=False) as clock:
            first = self.rotate(self.api, self.key, overlap_seconds=60)
            clock.shift(timedelta(seconds=60))
            second = self.rotate(self.api, self.key, overlap_seconds=60)
            self.api.send(f"/v1/keys/{self.key.id}/finish_rotation", {})
            self.assertEqual(self.live(), {second.key[8:16]: None})
            third = self.rotate(self.api, self.key, overlap_seconds=60)
            end = "2026-03-11T10:32:00Z"
            self.assertEqual(self.live(), {second.key[8:16]: end, third.key[8:16]: None})
        self.assertEnded(self.old, first)

    def test_rotate_ignores_an_idempotency_key(self):
        for token in ("t-1", "t-1", '"', "é", "x" * 256, self.api.key):
            response = self.api.send(path(self.key), {}, **{"Idempotency-Key": token})
            self.assertEqual(response.status_code, 200)
            self.assertNotIn("Idempotent-Replayed", response)
        self.assertEqual(len(self.live()), 2)
        self.assertEqual(RememberedRequest.objects.count(), 0)
        made = self.api.send("/v1/keys", {"name": "x"}, **{"Idempotency-Key": "t-1"})
        self.assertEqual(made.status_code, 201)
