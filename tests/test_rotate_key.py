"""`POST /v1/keys/{id}/rotate` gives a key a new secret; the old one lives on, never too long."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

from accounts.models import AuditEvent
from apikeys.models import ApiKey, KeySecret
from tests.cast import Answer, ApiClient, ApiTestCase

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

    def test_answers_with_the_key_as_it_was_and_a_new_secret_once(self):
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

    def test_both_secrets_are_the_same_caller_meanwhile(self):
        new = self.rotate(self.old, self.key)
        self.assertEqual(new.get("/v1/auth/me").json(), self.old.get("/v1/auth/me").json())
        self.assertEqual(new.get("/v1/auth/me").json()["key_id"], self.key.id)

    def test_the_old_secret_lives_for_a_day_unless_said_otherwise(self):
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

    def test_no_overlap_ends_the_old_secret_at_once(self):
        new = self.rotate(self.old, self.key, overlap_seconds=0)
        self.assertFalse(self.works(self.old))
        self.assertTrue(self.works(new))
        with time_machine.travel(NOW - SECOND, tick=False):  # Whatever another machine's clock says
            self.assertFalse(self.works(self.old))

    def test_no_body_an_empty_one_and_no_fields_are_the_same(self):
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

    def test_what_is_no_overlap_is_refused_and_rotates_nothing(self):
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

    def test_a_second_rotation_ends_the_oldest_at_once_so_that_two_live(self):
        second = self.rotate(self.old, self.key, overlap_seconds=604800)
        third = self.rotate(second, self.key, overlap_seconds=3600)
        self.assertEqual([self.works(c) for c in (self.old, second, third)], [False, True, True])
        fourth = self.rotate(third, self.key, overlap_seconds=604800)
        self.assertEqual([self.works(c) for c in (second, third, fourth)], [False, True, True])
        secrets = fourth.get(f"/v1/keys/{self.key.id}").json()["secrets"]
        self.assertEqual(len(secrets), 2)

    def test_a_rotation_after_the_last_one_ran_out_is_a_first_one_again(self):
        second = self.rotate(self.old, self.key, overlap_seconds=60)
        with time_machine.travel(NOW + DAY, tick=False):
            third = self.rotate(second, self.key, overlap_seconds=60)
            self.assertEqual([self.works(c) for c in (second, third)], [True, True])
            event = AuditEvent.objects.latest("sequence")
        self.assertCountEqual(event.changes, ["secret", "old_secret_ends"])

    def test_no_rotation_lengthens_a_life(self):
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

    def test_a_key_lengthened_later_does_not_lengthen_the_old_secret(self):
        api_key, old = self.issue(expires_at=NOW + timedelta(hours=1))
        new = self.rotate(self.old, api_key, overlap_seconds=604800)
        self.old.change(f"/v1/keys/{api_key.id}", {"expires_at": None})
        with time_machine.travel(NOW + timedelta(hours=1), tick=False):
            self.assertEqual([self.works(old), self.works(new)], [False, True])

    def test_an_inactive_key_is_not_rotated(self):
        revoked, _ = self.issue()
        self.old.delete(f"/v1/keys/{revoked.id}")
        expired, _ = self.issue(expires_at=NOW + SECOND)
        with time_machine.travel(NOW + SECOND, tick=False):
            for api_key in (revoked, expired):
                self.assertRefused(self.old.send(path(api_key), {}), 409, "key_not_active")
                self.assertEqual(api_key.secrets.count(), 1)

    def test_the_event_names_the_secrets_by_their_locators(self):
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


@time_machine.travel(NOW, tick=False)
class WhoMayRotateTests(ApiTestCase):
    def test_a_restricted_key_rotates_itself_only(self):
        api_key, client = self.issue(scopes=["tests:read"])
        other, _ = self.issue(scopes=["tests:read"])
        self.assertRefused(client.send(path(other), {}), 403, "insufficient_scope")
        self.assertEqual(self.actions(other), ["issued"])
        new = self.rotate(client, api_key)
        self.assertEqual(new.get("/v1/auth/me").json()["scopes"], ["tests:read"])

    def test_a_secret_being_rotated_out_is_handed_no_other(self):
        api_key, old = self.issue()
        self.rotate(old, api_key, overlap_seconds=3600)
        other, _ = self.issue()
        soon, _ = self.issue(expires_at=NOW + timedelta(hours=1))
        for target in (api_key, other, soon):
            self.assertRefused(old.send(path(target), {}), 403, "exceeds_caller")
        response = old.send("/v1/keys", {"name": "x", "expires_at": None})
        self.assertRefused(response, 403, "exceeds_caller", field="expires_at")
        self.assertEqual(self.actions(api_key), ["issued", "rotated"])
        self.assertEqual(self.actions(other), ["issued"])
        # A new key gets its end.
        child, _ = self.make(old)
        self.assertEqual(child.expires_at, NOW + timedelta(hours=1))

    def test_a_managing_key_rotates_what_lies_within_its_own_life_and_addresses(self):
        _, client = self.issue(expires_at=NOW + DAY, allowed_ips=["127.0.0.0/8"])
        table: list[tuple[dict[str, Any], str | None]] = [
            ({"expires_at": NOW + DAY, "allowed_ips": ["127.0.0.1/32"]}, None),
            ({"expires_at": NOW + DAY, "allowed_ips": ["127.0.0.0/8"]}, None),
            ({"expires_at": NOW + DAY + SECOND, "allowed_ips": ["127.0.0.1/32"]}, "expires_at"),
            ({"allowed_ips": ["127.0.0.1/32"]}, "expires_at"),
            ({"expires_at": NOW + DAY}, "allowed_ips"),
            ({"expires_at": NOW + DAY, "allowed_ips": ["::1/128"]}, "allowed_ips"),
        ]
        for fields, refused_for in table:
            with self.subTest(fields):
                target, _ = self.issue(**fields)
                response = client.send(path(target), {})
                if refused_for is None:
                    self.assertEqual(response.status_code, 200)
                else:
                    error = self.assertRefused(response, 403, "exceeds_caller")
                    self.assertIn(target.id, error["message"])
                    self.assertIn(refused_for, error["message"])
                    self.assertEqual(self.actions(target), ["issued"])

    def test_whoever_rotated_is_noted_with_the_secret(self):
        root, client = self.issue()
        target, _ = self.issue()
        self.rotate(client, target)
        newest = KeySecret.newest_of(target)
        assert newest is not None
        assert newest.issued_by is not None
        self.assertEqual(newest.issued_by.api_key_id, root.id)
