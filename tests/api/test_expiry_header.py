"""Tests of the expiry header: sent in the last 30 days of a key or of a secret rotated out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

from apikeys.models import ApiKey
from apikeys.plaintext import new_plaintext
from apikeys.verbs.change import change
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import ApiClient, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
HEADER = "ReachScore-Key-Expires-At"


@time_machine.travel(NOW, tick=False)
class ExpiryHeaderTests(ApiTestCase):
    def told(self, client: ApiClient) -> str | None:
        return client.get("/v1/auth/me").headers.get(HEADER)

    def test_expiry_header_is_sent_in_the_last_30_days_only(self):
        _, client = self.issue(expires_at=NOW + 40 * DAY)
        for left, told in [
            (40 * DAY, None),
            (30 * DAY + SECOND, None),
            (30 * DAY, "2026-04-20T10:30:00Z"),
            (SECOND, "2026-04-20T10:30:00Z"),
            (0 * DAY, None),
        ]:
            with self.subTest(left), time_machine.travel(NOW + 40 * DAY - left, tick=False):
                self.assertEqual(self.told(client), told)

    def test_expiry_header_shows_the_old_secrets_end_and_the_new_ones_key_end(self):
        for expires_at, old_told, new_told in [
            (None, "2026-03-12T10:30:00Z", None),
            (NOW + 40 * DAY, "2026-03-12T10:30:00Z", None),
            (NOW + 5 * DAY, "2026-03-12T10:30:00Z", "2026-03-16T10:30:00Z"),
            (NOW + SECOND, "2026-03-11T10:30:01Z", "2026-03-11T10:30:01Z"),
        ]:
            with self.subTest(expires_at):
                api_key, old = self.issue(expires_at=expires_at)
                new = self.rotate(old, api_key)
                self.assertEqual((self.told(old), self.told(new)), (old_told, new_told))

    def test_expiry_header_shows_the_earlier_of_two_ends(self):
        api_key, old = self.issue()
        self.rotate(old, api_key, overlap_seconds=604800)
        change(api_key, actor=Actor.cli(), expires_at=NOW + DAY)
        self.assertEqual(self.told(old), "2026-03-12T10:30:00Z")

    def test_expiry_header_shows_a_changed_end_from_the_next_answer_on(self):
        api_key, client = self.issue()
        client.change(f"/v1/keys/{api_key.id}", {"expires_at": "2026-03-20T00:00:00Z"})
        self.assertEqual(self.told(client), "2026-03-20T00:00:00Z")

    def test_expiry_header_is_on_every_kind_of_answer_to_a_known_key(self):
        end = "2026-03-12T10:30:00Z"
        api_key, client = self.issue(expires_at=NOW + DAY)
        _, narrow = self.issue(expires_at=NOW + DAY, scopes=["tests:read"])
        _, bound = self.issue(expires_at=NOW + DAY, allowed_ips=["192.0.2.7"])
        token = {"Idempotency-Key": "t-1"}
        bodies: dict[str, Any] = {"content_type": "application/json"}
        for response, status in [
            (client.get("/v1/auth/me"), 200),
            (client.head("/v1/keys"), 200),
            (client.send("/v1/keys", {"name": "x"}, **token), 201),
            (client.get("/v1/keys?limit=0"), 400),
            (client.send("/v1/keys", {}), 400),
            (client.post("/v1/keys", b"{", **bodies), 400),
            (narrow.send("/v1/keys", {"name": "x"}), 403),
            (bound.get("/v1/auth/me"), 403),
            (client.send("/v1/keys", {"name": "x", "expires_at": None}), 403),
            (client.get("/v1/keys/key_000000000000"), 404),
            (client.send("/v1/keys", {"name": "y"}, **token), 409),
            (client.generic("POST", "/v1/keys", **bodies), 411),
            (client.post("/v1/keys", b" " * 70_000, **bodies), 413),
            (client.post("/v1/keys", b"{}", content_type="text/plain"), 415),
        ]:
            with self.subTest(status):
                self.assertEqual(response.status_code, status)
                self.assertEqual(response.headers.get(HEADER), end)
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        response = client.get(f"/v1/keys/{api_key.id}")
        self.assertEqual((response.status_code, response.headers.get(HEADER)), (403, end))

    def test_expiry_header_is_absent_if_the_request_is_refused_before_authentication(self):
        _, client = self.issue(expires_at=NOW + DAY)
        for response, status in [
            (client.put("/v1/keys"), 405),
            (client.get("/v1/nope"), 404),
            (client.get("/v1/keys?token=x"), 400),
            (client.get("/v1/keys", headers={"Accept": "text/csv"}), 406),
        ]:
            self.assertEqual(response.status_code, status)
            self.assertNotIn(HEADER, response.headers)

    def test_expiry_header_is_absent_for_unknown_and_revoked_keys(self):
        _, client = self.issue(expires_at=NOW + DAY)
        self.assertIsNotNone(self.told(client))
        self.assertIsNone(self.told(ApiClient(new_plaintext(livemode=True))))
        self.assertNotIn(HEADER, self.client.get("/v1/auth/me").headers)
        revoke(ApiKey.objects.get(), actor=Actor.cli())
        self.assertIsNone(self.told(client))

    def test_expiry_header_does_not_leak_into_the_next_request(self):
        _, ending = self.issue(expires_at=NOW + DAY)
        _, lasting = self.issue()
        self.assertEqual(
            [self.told(client) is None for client in (ending, lasting, ending, lasting)],
            [False, True, False, True],
        )
