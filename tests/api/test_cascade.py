"""Tests of `DELETE /v1/keys/{id}?cascade=true`: it also revokes everything made with the key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from audit.models import AuditEvent
from tests.support.cast import ApiClient, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)


@time_machine.travel(NOW, tick=False)
class CascadeTestCase(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue(name="manager")[1]
        self.root, self.thief = self.issue(name="root")

    def cascade(self, api_key: ApiKey | None = None, query: str = "") -> dict[str, Any]:
        target = api_key or self.root
        response = self.api.delete(f"/v1/keys/{target.id}?cascade=true{query}")
        self.assertEqual(response.status_code, 200, response.content)
        self.assertEqual(response.json()["status"], "revoked")
        counts: dict[str, Any] = response.json()["cascade"]
        self.assertEqual(list(counts), ["keys_revoked", "secrets_ended"])
        return counts

    def works(self, *clients: ApiClient) -> list[bool]:
        return [client.get("/v1/auth/me").status_code == 200 for client in clients]


@time_machine.travel(NOW, tick=False)
class KeysMadeTests(CascadeTestCase):
    def test_cascade_revokes_keys_of_every_generation(self):
        _, client = self.make(self.thief)
        clients = [client]
        for _ in range(4):
            _, client = self.make(client)
            clients.append(client)
        restricted, last = self.make(client, scopes=["tests:read"])
        counts = self.cascade()
        self.assertEqual(counts, {"keys_revoked": 6, "secrets_ended": 0})
        self.assertEqual(self.works(self.thief, *clients, last), [False] * 7)
        self.assertEqual(self.actions(restricted), ["issued", "revoked"])

    def test_cascade_passes_through_revoked_and_expired_keys(self):
        revoked, by_revoked = self.make(self.thief)
        _, below_revoked = self.make(by_revoked)
        _, by_expired = self.make(self.thief, expires_at="2026-03-11T10:30:01Z")
        # Made with a key about to expire, then extended by another key.
        late, below_expired = self.make(by_expired)
        self.api.change(f"/v1/keys/{late.id}", {"expires_at": None})
        self.api.delete(f"/v1/keys/{revoked.id}?reason=before")
        with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
            counts = self.cascade()
            self.assertEqual(self.works(below_revoked, below_expired), [False, False])
        # The expired one is revoked, too: it was made by the root.
        self.assertEqual(counts["keys_revoked"], 3)
        revoked.refresh_from_db()
        self.assertEqual(revoked.revoked_reason, "before")

    def test_cascade_reaches_keys_made_with_ended_secrets_of_the_root(self):
        _, by_first = self.make(self.thief)
        second = self.rotate(self.thief, self.root, overlap_seconds=0)
        _, by_second = self.make(second)
        self.assertEqual(self.cascade()["keys_revoked"], 2)
        self.assertEqual(self.works(second, by_first, by_second), [False] * 3)

    def test_cascade_on_a_revoked_key_revokes_its_descendants(self):
        _, child = self.make(self.thief)
        self.api.delete(f"/v1/keys/{self.root.id}?reason=first")
        self.assertEqual(self.works(child), [True])
        counts = self.cascade(query="&reason=second")
        self.assertEqual(counts["keys_revoked"], 1)
        self.assertEqual(self.works(child), [False])
        self.root.refresh_from_db()
        self.assertEqual(self.root.revoked_reason, "first")
        self.assertEqual(self.actions(self.root), ["issued", "revoked"])

    def test_second_cascade_changes_nothing(self):
        self.make(self.thief)
        self.cascade()
        events = AuditEvent.objects.count()
        self.assertEqual(self.cascade(), {"keys_revoked": 0, "secrets_ended": 0})
        self.assertEqual(AuditEvent.objects.count(), events)

    def test_cascade_spares_the_maker_siblings_other_modes_and_other_organizations(self):
        child, client = self.make(self.thief)
        _, sibling = self.make(self.thief)
        _, unrelated = self.issue()
        _, sandbox = self.issue(livemode=False)
        _, stranger = self.issue(organization=self.globex)
        _, grandchild = self.make(client)
        self.assertEqual(self.cascade(child)["keys_revoked"], 1)
        others = (self.api, self.thief, sibling, unrelated, sandbox, stranger)
        self.assertEqual(self.works(client, grandchild, *others), [False, False] + [True] * 6)

    def test_cascade_records_one_event_per_key_with_its_root_and_reason(self):
        child, client = self.make(self.thief)
        grandchild, _ = self.make(client)
        target, _ = self.issue()
        self.rotate(self.thief, target)
        self.cascade(query="&reason=leaked")
        for api_key, action in [
            (child, "api_key.revoked"),
            (grandchild, "api_key.revoked"),
            (target, "api_key.secrets_ended"),
        ]:
            event = AuditEvent.objects.filter(target_id=api_key.id).latest("sequence")
            self.assertEqual((event.action, event.reason), (action, "leaked"))
            self.assertEqual(event.changes["cascade_of"], [None, self.root.id])
            api_key.refresh_from_db()
        self.assertEqual(child.revoked_reason, "leaked")
        self.assertEqual(target.revoked_at, None)
        root_event = AuditEvent.objects.filter(target_id=self.root.id).latest("sequence")
        self.assertEqual(root_event.changes, {})

    def test_cascade_needs_a_managing_key_even_for_itself(self):
        restricted_key, restricted = self.issue(scopes=list(ALL_SCOPES[:-1]))
        for target in (restricted_key, self.root):
            response = restricted.delete(f"/v1/keys/{target.id}?cascade=true")
            self.assertRefused(response, 403, "insufficient_scope")
        self.assertEqual(self.actions(restricted_key) + self.actions(self.root), ["issued"] * 2)
        _, child = self.make(self.thief)
        response = self.thief.delete(f"/v1/keys/{self.root.id}?cascade=true")
        self.assertEqual(response.json()["cascade"]["keys_revoked"], 1)
        self.assertEqual(self.works(self.thief, child), [False, False])

    def test_cascade_may_revoke_its_own_caller(self):
        _, child = self.make(self.thief)
        response = child.delete(f"/v1/keys/{self.root.id}?cascade=true")
        self.assertEqual(response.json()["cascade"]["keys_revoked"], 1)
        self.assertRefused(child.get("/v1/auth/me"), 401, "api_key_invalid")


@time_machine.travel(NOW, tick=False)
class SecretsIssuedTests(CascadeTestCase):
    """Cascades from a root that rotated keys made by others: the keys live on, its secrets end."""

    def setUp(self) -> None:
        super().setUp()
        self.key, self.old = self.issue(name="target")

    def live(self) -> list[tuple[str, str | None]]:
        secrets = self.api.get(f"/v1/keys/{self.key.id}").json()["secrets"]
        return [(secret["locator"], secret["expires_at"]) for secret in secrets]

    def test_cascade_ends_the_newest_secret_and_keeps_the_end_of_the_retiring_one(self):
        new = self.rotate(self.thief, self.key, overlap_seconds=60)
        counts = self.cascade()
        self.assertEqual(counts, {"keys_revoked": 0, "secrets_ended": 1})
        self.assertEqual(self.works(new, self.old), [False, True])
        end = "2026-03-11T10:31:00Z"
        self.assertEqual(self.live(), [(self.old.key[8:16], end)])
        event = AuditEvent.objects.filter(target_id=self.key.id).latest("sequence")
        self.assertEqual(
            event.changes,
            {
                "ended_secrets": [[new.key[8:16]], None],
                "cascade_of": [None, self.root.id],
            },
        )
        # Its owner rotates: the old secret's end is never extended, for any overlap.
        newest = self.rotate(self.api, self.key, overlap_seconds=604800)
        self.assertEqual(self.live(), [(newest.key[8:16], None), (self.old.key[8:16], end)])
        with time_machine.travel(NOW + timedelta(seconds=60), tick=False):
            self.assertEqual(self.works(self.old, newest), [False, True])

    def test_cascade_does_not_revive_a_retiring_secret_that_has_ended(self):
        for overlap in (0, 60):
            with self.subTest(overlap):
                root, thief = self.issue()
                api_key, old = self.issue()
                new = self.rotate(thief, api_key, overlap_seconds=overlap)
                with time_machine.travel(NOW + timedelta(seconds=60), tick=False):
                    counts = self.cascade(root)
                    self.assertEqual(self.works(new, old), [False, False])
                self.assertEqual(counts["secrets_ended"], 1)
                # The key is not lost: a managing key can rotate it.
                self.assertEqual(self.works(self.rotate(self.api, api_key)), [True])

    def test_cascade_ends_both_secrets_if_the_root_issued_both(self):
        second = self.rotate(self.thief, self.key, overlap_seconds=3600)
        second.get("/v1/auth/me")
        third = self.rotate(self.thief, self.key, overlap_seconds=3600)
        counts = self.cascade()
        self.assertEqual(counts, {"keys_revoked": 0, "secrets_ended": 2})
        self.assertEqual(self.works(self.old, second, third), [False] * 3)
        self.assertEqual(self.live(), [])
        self.assertEqual(self.api.get(f"/v1/keys/{self.key.id}").json()["status"], "active")
        self.assertEqual(self.works(self.rotate(self.api, self.key)), [True])

    def test_cascade_ends_the_roots_retiring_secret_and_spares_a_newest_one_of_another(self):
        second = self.rotate(self.thief, self.key, overlap_seconds=3600)
        second.get("/v1/auth/me")
        third = self.rotate(self.api, self.key, overlap_seconds=3600)
        counts = self.cascade()
        self.assertEqual(counts, {"keys_revoked": 0, "secrets_ended": 1})
        self.assertEqual(self.works(second, third), [False, True])
        self.assertEqual(self.live(), [(third.key[8:16], None)])

    def test_cascade_is_transitive_over_what_an_issued_secret_made_and_issued(self):
        stolen = self.rotate(self.thief, self.key, overlap_seconds=3600)
        _, child = self.make(stolen)
        other, other_old = self.issue()
        other_new = self.rotate(stolen, other)
        own_next = self.rotate(stolen, self.key)
        _, honest = self.make(self.api)
        counts = self.cascade()
        self.assertEqual(counts["keys_revoked"], 1)
        self.assertEqual(self.works(stolen, child, other_new, own_next), [False] * 4)
        self.assertEqual(self.works(other_old, honest), [True, True])

    def test_cascade_spares_what_the_secret_before_the_rotation_made(self):
        _, honest = self.make(self.old)
        self.rotate(self.thief, self.key)
        self.assertEqual(self.cascade()["keys_revoked"], 0)
        self.assertEqual(self.works(honest, self.old), [True, True])

    def test_cascade_does_not_count_ended_secrets_and_inactive_keys(self):
        self.rotate(self.thief, self.key)
        self.api.delete(f"/v1/keys/{self.key.id}")
        soon, _ = self.issue(expires_at=NOW + timedelta(seconds=1))
        self.rotate(self.thief, soon)
        ended, _ = self.issue()
        self.rotate(self.api, ended, overlap_seconds=0)
        with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
            counts = self.cascade()
        self.assertEqual(counts, {"keys_revoked": 0, "secrets_ended": 0})
