"""A retry answers the same key with a fresh secret, as long as nobody presented the first one."""

from datetime import timedelta

import time_machine
from django.utils import timezone

from accounts.models import Actor, AuditEvent, Organization
from apikeys.models import ApiKey, KeySecret, RememberedRequest
from tests.cast import ApiClient
from tests.retries import NOW, RetryTestCase


class ReplayTests(RetryTestCase):
    def test_create_answers_the_same_key_with_a_fresh_secret_in_place_of_the_first(self):
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

    def test_rotate_answers_the_same_key_with_a_fresh_secret_in_place_of_the_first(self):
        with time_machine.travel(NOW, tick=False) as clock:
            target, old = self.issue()
            first = self.send_rotation(target.id)
            clock.shift(timedelta(minutes=5))
            again = self.send_rotation(target.id)

            self.made(first, 200)
            self.assertWorks(self.replayed(again, 200))
            self.assertEnded(ApiClient(first.json()["key"]))
            self.assertWorks(old)
        self.assertEqual(again.json()["id"], target.id)
        ends = [secret["expires_at"] for secret in again.json()["secrets"]]
        self.assertEqual(ends, [None, "2026-03-12T10:30:00Z"])

    def test_of_many_answers_only_the_last_ones_secret_works(self):
        clients = [self.made(self.create())]
        for _ in range(4):
            clients.append(self.replayed(self.create()))
            key_id = ApiKey.objects.exclude(pk=self.key.pk).get().pk
            shown = self.client_of_key.get(f"/v1/keys/{key_id}").json()["secrets"]
            self.assertEqual([secret["locator"] for secret in shown], [clients[-1].key[8:16]])
        for client in clients[:-1]:
            self.assertEnded(client)
        self.assertWorks(clients[-1])

    def test_a_replay_writes_an_event_that_names_both_secrets_by_their_locators(self):
        first, again = self.create().json(), self.create().json()

        events = self.client_of_key.get(f"/v1/keys/{first['id']}/events").json()["data"]

        actions = [event["action"] for event in events]
        self.assertEqual(actions, ["api_key.secret_replaced", "api_key.issued"])
        locators = [first["key"][8:16], again["key"][8:16]]
        self.assertEqual(events[0]["changes"], {"secret": locators})
        self.assertEqual(events[0]["actor"], {"type": "key", "id": self.key.id, "label": "CI"})

    def test_it_shows_the_key_as_it_is_now(self):
        key_id = self.create().json()["id"]
        self.client_of_key.change(f"/v1/keys/{key_id}", {"name": "Renamed"})
        self.assertEqual(self.create().json()["name"], "Renamed")

    def test_a_secret_that_was_used_is_not_replaced(self):
        target, _ = self.issue()
        for send, status in [
            (self.create, 201),
            (lambda: self.send_rotation(target.id, "t-2"), 200),
        ]:
            with self.subTest(status):
                client = self.made(send(), status)
                self.assertWorks(client)
                before = self.state()
                self.assertUsed(send())
                self.assertUsed(send())
                self.assertEqual(self.state(), before)
                self.assertWorks(client)

    def test_of_a_replayed_secret_the_same_is_true(self):
        self.made(self.create())
        client = self.replayed(self.create())
        self.assertWorks(client)
        self.assertUsed(self.create())
        self.assertWorks(client)

    def test_a_valid_secret_that_was_refused_for_the_rate_was_used(self):
        client = self.made(self.create())
        acme = Organization.objects.filter(pk=self.acme.pk)
        acme.update(requests_per_minute=0)
        self.assertRefused(client.get("/v1/auth/me"), 429, "rate_limit_exceeded")
        acme.update(requests_per_minute=100_000)
        self.assertUsed(self.create())

    def test_a_valid_secret_that_was_refused_for_its_address_was_used(self):
        client = self.made(self.create(body={"name": "CI", "allowed_ips": ["192.0.2.7"]}))
        self.assertRefused(client.get("/v1/auth/me"), 403, "ip_not_allowed")
        before = self.state()
        self.assertUsed(self.create(body={"name": "CI", "allowed_ips": ["192.0.2.7"]}))
        self.assertEqual(self.state(), before)
        self.assertEqual(client.get("/v1/auth/me", REMOTE_ADDR="192.0.2.7").status_code, 200)

    def test_a_valid_secret_that_was_refused_while_suspended_was_used(self):
        client = self.made(self.create())
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.assertRefused(client.get("/v1/auth/me"), 403, "organization_suspended")
        self.acme.resume(actor=Actor.cli(), reason="paid")
        self.assertUsed(self.create())
        self.assertWorks(client)

    def test_what_was_not_that_secret_is_no_use_of_it(self):
        client = self.made(self.create())
        mistyped = ApiClient(client.key[:-1] + ("a" if client.key[-1] != "a" else "b"))
        self.assertRefused(mistyped.get("/v1/auth/me"), 401, "api_key_invalid")
        self.client_of_key.get(f"/v1/keys/{self.create().json()['id']}")
        self.replayed(self.create())

    def state(self) -> list[object]:
        """Return what no refused replay may change."""
        tables = (ApiKey, KeySecret, RememberedRequest, AuditEvent)
        return [list(table.objects.order_by("pk").values()) for table in tables]


class MovedOnTests(RetryTestCase):
    """The key of the first answer has moved on: there is nothing to repeat."""

    def test_after_another_rotation(self):
        target, _ = self.issue()
        created = self.create().json()
        self.send_rotation(target.id, "t-2")
        self.made(self.send_rotation(created["id"], "t-3"), 200)
        newest = self.made(self.send_rotation(target.id, "t-4"), 200)

        self.assertUsed(self.create())
        self.assertUsed(self.send_rotation(target.id, "t-2"))
        self.assertWorks(newest)

    def test_the_newest_rotation_can_be_sent_again_though_an_older_one_cannot(self):
        target, _ = self.issue()
        self.send_rotation(target.id, "t-2")
        self.made(self.send_rotation(target.id, "t-3"), 200)
        self.assertUsed(self.send_rotation(target.id, "t-2"))
        self.assertWorks(self.replayed(self.send_rotation(target.id, "t-3"), 200))

    def test_after_it_was_revoked(self):
        target, _ = self.issue()
        created = self.create().json()
        self.send_rotation(target.id, "t-2")
        for key_id in (created["id"], target.id):
            self.client_of_key.delete(f"/v1/keys/{key_id}")
        self.assertUsed(self.create())
        self.assertUsed(self.send_rotation(target.id, "t-2"))

    def test_after_a_cascade_ended_its_secret(self):
        thief, stolen = self.issue()
        target, old = self.issue()
        taken = self.made(self.send_rotation(self.key.id, by=stolen), 200)
        self.made(self.send_rotation(target.id, by=taken), 200)

        _, owner = self.issue()
        owner.delete(f"/v1/keys/{thief.id}?cascade=true")

        # The caller is back in its owner's hands, and so is the key that was rotated with it.
        self.assertUsed(self.send_rotation(target.id))
        self.assertWorks(old)

    def test_after_it_expired(self):
        with time_machine.travel(NOW, tick=False) as clock:
            target, _ = self.issue()
            created = self.create().json()
            self.send_rotation(target.id, "t-2")
            for key_id in (created["id"], target.id):
                self.client_of_key.change(
                    f"/v1/keys/{key_id}", {"expires_at": "2026-03-11T11:30:00Z"}
                )
            clock.shift(timedelta(hours=1, seconds=-1))
            self.replayed(self.create())
            self.replayed(self.send_rotation(target.id, "t-2"), 200)
            clock.shift(timedelta(seconds=1))
            self.assertUsed(self.create())
            self.assertUsed(self.send_rotation(target.id, "t-2"))

    def test_a_life_that_is_over_cannot_be_asked_for_again(self):
        body = {"name": "CI", "expires_at": "2026-03-11T11:30:00Z"}
        with time_machine.travel(NOW, tick=False) as clock:
            self.made(self.create(body=body))
            clock.shift(timedelta(minutes=59))
            self.replayed(self.create(body=body))
            clock.shift(timedelta(minutes=1))
            self.assertRefused(self.create(body=body), 400, "parameter_invalid", field="expires_at")


class SelfRotationTests(RetryTestCase):
    def test_the_old_secret_can_send_its_own_rotation_again(self):
        for scopes in (self.key.scopes, ["tests:read"]):
            with self.subTest(scopes), time_machine.travel(NOW, tick=False) as clock:
                key, old = self.issue(scopes=scopes)
                body = {"overlap_seconds": 3600}
                first = self.send_rotation(key.id, body=body, by=old)
                clock.shift(timedelta(minutes=30))
                again = self.send_rotation(key.id, body=body, by=old)

                self.made(first, 200)
                newest = self.replayed(again, 200)
                self.assertEnded(ApiClient(first.json()["key"]))
                # The old secret's end is the one of the first answer.
                ends = [secret["expires_at"] for secret in again.json()["secrets"]]
                self.assertEqual(ends, [None, "2026-03-11T11:30:00Z"])
                clock.shift(timedelta(minutes=30, seconds=-1))
                self.assertWorks(old)
                clock.shift(timedelta(seconds=1))
                self.assertEnded(old)
                self.assertRefused(
                    self.send_rotation(key.id, body=body, by=old), 401, "api_key_expired"
                )
                self.assertWorks(newest)

    def test_a_key_with_an_end_can_too(self):
        key, old = self.issue(expires_at=timezone.now() + timedelta(days=1))
        self.made(self.send_rotation(key.id, by=old), 200)
        self.assertWorks(self.replayed(self.send_rotation(key.id, by=old), 200))

    def test_the_old_secret_gets_nothing_but_that_very_answer(self):
        key, old = self.issue()
        newest = self.made(self.send_rotation(key.id, by=old), 200)
        self.assertRefused(self.send_rotation(key.id, "t-2", by=old), 403, "exceeds_caller")
        self.assertWorks(newest)
        self.assertUsed(self.send_rotation(key.id, by=old))

    def test_the_new_secret_shows_by_asking_that_it_arrived(self):
        key, old = self.issue()
        newest = self.made(self.send_rotation(key.id, by=old), 200)
        self.assertUsed(self.send_rotation(key.id, by=newest))
        self.assertWorks(newest)

    def test_without_an_overlap_there_is_nobody_left_to_ask_again(self):
        key, old = self.issue()
        body = {"overlap_seconds": 0}
        newest = self.made(self.send_rotation(key.id, body=body, by=old), 200)
        self.assertRefused(self.send_rotation(key.id, body=body, by=old), 401, "api_key_expired")
        # But another key that rotated it can.
        self.made(self.send_rotation(key.id, "t-2", body), 200)
        self.assertEnded(newest)
        self.assertWorks(self.replayed(self.send_rotation(key.id, "t-2", body), 200))
