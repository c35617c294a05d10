"""Tests of `POST /v1/keys/{id}/finish_rotation`: it ends the old secret now and is idempotent."""

from datetime import UTC, datetime, timedelta

import time_machine

from apikeys.models import ApiKey
from audit.models import AuditEvent
from tests.support.cast import ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)


def path(api_key: ApiKey) -> str:
    return f"/v1/keys/{api_key.id}/finish_rotation"


@time_machine.travel(NOW, tick=False)
class FinishRotationTests(ApiTestCase):
    def setUp(self) -> None:
        self.key, self.old = self.issue(scopes=["tests:read"])

    def test_finish_rotation_ends_the_old_secret_and_answers_the_key(self):
        new = self.rotate(self.old, self.key)

        response = new.send(path(self.key), {})

        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json(), new.get(f"/v1/keys/{self.key.id}").json())
        (secret,) = response.json()["secrets"]
        self.assertEqual(secret["locator"], new.key[8:16])
        error = self.assertRefused(self.old.get("/v1/auth/me"), 401, "api_key_expired")
        self.assertIn("newest secret", error["fix"])
        self.assertEqual(new.get("/v1/auth/me").status_code, 200)
        event = AuditEvent.objects.latest("sequence")
        self.assertEqual(event.action, "api_key.rotation_finished")
        self.assertEqual(event.changes, {"ended_secret": [self.old.key[8:16], None]})

    def test_finish_rotation_without_an_open_rotation_changes_nothing(self):
        before = self.old.get(f"/v1/keys/{self.key.id}").json()
        response = self.old.send(path(self.key), {})
        self.assertEqual((response.status_code, response.json()["id"]), (200, before["id"]))
        self.assertEqual(self.old.get("/v1/auth/me").status_code, 200)
        self.assertEqual(self.actions(self.key), ["issued"])

    def test_finish_rotation_again_or_after_the_overlap_records_no_event(self):
        new = self.rotate(self.old, self.key, overlap_seconds=60)
        with time_machine.travel(NOW + timedelta(seconds=60), tick=False):
            self.assertEqual(new.send(path(self.key), {}).status_code, 200)
        self.assertEqual(self.actions(self.key), ["issued", "rotated"])
        newest = self.rotate(new, self.key)
        for _ in range(2):
            self.assertEqual(newest.send(path(self.key), {}).status_code, 200)
        self.assertEqual(self.actions(self.key)[2:], ["rotated", "rotation_finished"])

    def test_finish_rotation_may_be_called_with_the_old_secret(self):
        new = self.rotate(self.old, self.key)
        self.assertEqual(self.old.send(path(self.key), {}).status_code, 200)
        self.assertRefused(self.old.send(path(self.key), {}), 401, "api_key_expired")
        self.assertEqual(new.get("/v1/auth/me").status_code, 200)

    def test_finish_rotation_of_an_inactive_key_is_refused(self):
        _, manager = self.issue()
        revoked, old = self.issue()
        self.rotate(old, revoked)
        manager.delete(f"/v1/keys/{revoked.id}")
        expired, old = self.issue(expires_at=NOW + timedelta(seconds=1))
        self.rotate(old, expired)
        with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
            for api_key in (revoked, expired):
                self.assertRefused(manager.send(path(api_key), {}), 409, "key_not_active")
        self.assertEqual(self.actions(expired), ["issued", "rotated"])

    def test_finish_rotation_takes_no_fields_and_needs_no_body(self):
        new = self.rotate(self.old, self.key)
        response = new.send(path(self.key), {"overlap_seconds": 0})
        self.assertRefused(response, 400, "parameter_unknown", field="overlap_seconds")
        response = new.post(path(self.key), b"[]", content_type="application/json")
        self.assertRefused(response, 400, "invalid_json")
        self.assertEqual(self.old.get("/v1/auth/me").status_code, 200)
        self.assertEqual(new.generic("POST", path(self.key)).status_code, 200)
        self.assertRefused(self.old.get("/v1/auth/me"), 401, "api_key_expired")
