"""Tests of replays: a retried create gets the same key with a fresh secret until one was used."""

from datetime import timedelta

import time_machine

from accounts.models import Organization
from apikeys.models import ApiKey, KeySecret, RememberedRequest
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import ApiClient
from tests.support.retries import NOW, RetryTestCase


class ReplayTests(RetryTestCase):
    def test_replayed_create_answers_the_same_key_with_a_fresh_secret(self):
        first = self.create(body={"name": "CI", "scopes": ["tests:read"]})
        again = self.create(body={"name": "CI", "scopes": ["tests:read"]})

        self.made(first)
        self.assertWorks(self.replayed(again))
        self.assertEnded(ApiClient(first.json()["key"]))
        self.assertEqual(list(again.json()), list(first.json()))
        for name, value in first.json().items():
            same = name not in ("key", "key_hint", "secrets")
            self.assertEqual(again.json()[name] == value, same, name)
        self.assertEqual(len(again.json()["secrets"]), 1)
        self.assertEqual(ApiKey.objects.count(), 2)

    def test_replayed_create_leaves_only_the_last_secret_working(self):
        clients = [self.made(self.create())]
        for _ in range(4):
            clients.append(self.replayed(self.create()))
            key_id = ApiKey.objects.exclude(pk=self.key.pk).get().pk
            shown = self.client_of_key.get(f"/v1/keys/{key_id}").json()["secrets"]
            self.assertEqual([secret["locator"] for secret in shown], [clients[-1].key[8:16]])
        for client in clients[:-1]:
            self.assertEnded(client)
        self.assertWorks(clients[-1])

    def test_replayed_create_records_both_locators_in_its_event(self):
        first, again = self.create().json(), self.create().json()

        events = self.client_of_key.get(f"/v1/keys/{first['id']}/events").json()["data"]

        actions = [event["action"] for event in events]
        self.assertEqual(actions, ["api_key.secret_replaced", "api_key.issued"])
        locators = [first["key"][8:16], again["key"][8:16]]
        self.assertEqual(events[0]["changes"], {"secret": locators})
        self.assertEqual(events[0]["actor"], {"type": "key", "id": self.key.id, "label": "CI"})

    def test_replayed_create_shows_the_key_as_it_is_now(self):
        key_id = self.create().json()["id"]
        self.client_of_key.change(f"/v1/keys/{key_id}", {"name": "Renamed"})
        self.assertEqual(self.create().json()["name"], "Renamed")

    def test_replay_after_the_secret_was_used_is_refused_and_changes_nothing(self):
        client = self.made(self.create())
        self.assertWorks(client)
        before = self.state()
        self.assertUsed(self.create())
        self.assertUsed(self.create())
        self.assertEqual(self.state(), before)
        self.assertWorks(client)

    def test_replay_after_a_replayed_secret_was_used_is_refused(self):
        self.made(self.create())
        client = self.replayed(self.create())
        self.assertWorks(client)
        self.assertUsed(self.create())
        self.assertWorks(client)

    def test_rate_limited_request_counts_as_use_of_the_secret(self):
        client = self.made(self.create())
        acme = Organization.objects.filter(pk=self.acme.pk)
        acme.update(requests_per_minute=0)
        self.assertRefused(client.get("/v1/auth/me"), 429, "rate_limit_exceeded")
        acme.update(requests_per_minute=100_000)
        self.assertUsed(self.create())

    def test_request_from_a_wrong_address_counts_as_use_of_the_secret(self):
        client = self.made(self.create(body={"name": "CI", "allowed_ips": ["192.0.2.7"]}))
        self.assertRefused(client.get("/v1/auth/me"), 403, "ip_not_allowed")
        before = self.state()
        self.assertUsed(self.create(body={"name": "CI", "allowed_ips": ["192.0.2.7"]}))
        self.assertEqual(self.state(), before)
        self.assertEqual(client.get("/v1/auth/me", REMOTE_ADDR="192.0.2.7").status_code, 200)

    def test_request_while_suspended_counts_as_use_of_the_secret(self):
        client = self.made(self.create())
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.assertRefused(client.get("/v1/auth/me"), 403, "organization_suspended")
        self.acme.resume(actor=Actor.cli(), reason="paid")
        self.assertUsed(self.create())
        self.assertWorks(client)

    def test_mistyped_secret_and_a_get_by_another_key_are_no_use_of_the_secret(self):
        client = self.made(self.create())
        mistyped = ApiClient(client.key[:-1] + ("a" if client.key[-1] != "a" else "b"))
        self.assertRefused(mistyped.get("/v1/auth/me"), 401, "api_key_invalid")
        self.client_of_key.get(f"/v1/keys/{self.create().json()['id']}")
        self.replayed(self.create())

    def state(self) -> list[object]:
        """Return everything a refused replay must leave unchanged."""
        tables = (ApiKey, KeySecret, RememberedRequest, AuditEvent)
        return [list(table.objects.order_by("pk").values()) for table in tables]


class ChangedKeyTests(RetryTestCase):
    """The created key has changed since: there is no first answer left to repeat."""

    def test_replay_after_a_rotation_is_refused(self):
        created = ApiKey.objects.get(pk=self.create().json()["id"])
        newest = self.rotate(self.client_of_key, created)
        self.assertUsed(self.create())
        self.assertWorks(newest)

    def test_replay_after_a_revocation_is_refused(self):
        self.client_of_key.delete(f"/v1/keys/{self.create().json()['id']}")
        self.assertUsed(self.create())

    def test_replay_after_a_cascade_ended_the_callers_secret_is_refused(self):
        thief, stolen = self.issue()
        # The thief holds a secret of the caller and repeats the caller's request with it.
        taken = self.rotate(stolen, self.key)
        created = self.create().json()["id"]
        self.replayed(self.create(by=taken))

        _, owner = self.issue()
        owner.delete(f"/v1/keys/{thief.id}?cascade=true")

        self.assertEqual(owner.get(f"/v1/keys/{created}").json()["secrets"], [])
        self.assertRefused(self.create(by=taken), 401, "api_key_expired")

    def test_replay_after_the_created_key_expired_is_refused(self):
        with time_machine.travel(NOW, tick=False) as clock:
            key_id = self.create().json()["id"]
            self.client_of_key.change(f"/v1/keys/{key_id}", {"expires_at": "2026-03-11T11:30:00Z"})
            clock.shift(timedelta(hours=1, seconds=-1))
            self.replayed(self.create())
            clock.shift(timedelta(seconds=1))
            self.assertUsed(self.create())

    def test_replay_of_a_body_whose_expiry_has_passed_is_refused(self):
        body = {"name": "CI", "expires_at": "2026-03-11T11:30:00Z"}
        with time_machine.travel(NOW, tick=False) as clock:
            self.made(self.create(body=body))
            clock.shift(timedelta(minutes=59))
            self.replayed(self.create(body=body))
            clock.shift(timedelta(minutes=1))
            self.assertRefused(self.create(body=body), 400, "parameter_invalid", field="expires_at")
