"""Tests of whole seconds: keys and secrets are refused from exactly the second that is shown."""

from datetime import UTC, datetime, timedelta

import time_machine

from apikeys.models import ApiKey
from apikeys.verbs.change import change
from audit.actor import Actor
from tests.support.cast import ApiClient, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, 900_000, tzinfo=UTC)


class WholeSecondTests(ApiTestCase):
    def setUp(self) -> None:
        clock = time_machine.travel(NOW, tick=False)
        self.clock = clock.start()
        self.addCleanup(clock.stop)

    def assertEndsWhenShown(self, client: ApiClient, shown: str) -> None:
        end = datetime.fromisoformat(shown)
        self.clock.move_to(end - timedelta(milliseconds=1))
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        self.clock.move_to(end)
        self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_expired")

    def test_rotated_out_secret_is_refused_from_the_second_shown(self):
        api_key, old = self.issue()
        for overlap in (1, 60):
            with self.subTest(overlap):
                self.clock.move_to(NOW)
                client = self.rotate(old, api_key, overlap_seconds=overlap)
                shown = client.get(f"/v1/keys/{api_key.id}").json()["secrets"][1]["expires_at"]
                self.assertEndsWhenShown(old, shown)
                old = client

    def test_child_of_a_rotated_out_secret_is_refused_from_the_second_shown(self):
        api_key, old = self.issue()
        self.rotate(old, api_key, overlap_seconds=60)
        child, client = self.make(old)
        self.assertEqual(child.expires_at, datetime(2026, 3, 11, 10, 31, tzinfo=UTC))
        self.assertEndsWhenShown(client, "2026-03-11T10:31:00Z")

    def test_expiry_with_a_fraction_is_stored_rounded_down_by_every_verb(self):
        end = NOW + timedelta(days=1)
        whole = end.replace(microsecond=0)
        api_key, _ = self.issue(expires_at=end)
        self.assertEqual(ApiKey.objects.get(pk=api_key.pk).expires_at, whole)
        change(api_key, actor=Actor.cli(), expires_at=end + timedelta(days=1))
        expected = whole + timedelta(days=1)
        self.assertEqual(ApiKey.objects.get(pk=api_key.pk).expires_at, expected)
        _, manager = self.issue()
        for text in ("2026-03-11T10:30:05.999Z", "2026-03-11T15:30:05.5+05:00"):
            made = manager.send("/v1/keys", {"name": "n", "expires_at": text})
            self.assertEqual(made.json()["expires_at"], "2026-03-11T10:30:05Z")

    def test_expiry_within_the_present_second_is_refused_as_past(self):
        _, client = self.issue()
        body = {"name": "n", "expires_at": "2026-03-11T10:30:00.950Z"}
        response = client.send("/v1/keys", body)
        self.assertRefused(response, 400, "parameter_invalid", field="expires_at")
