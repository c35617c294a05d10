"""Tests of attackers: every endpoint repels each kind, and nothing of the victim changes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.test import Client

from apikeys.models import ApiKey, KeySecret
from apikeys.plaintext import new_plaintext
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import Answer, ApiClient, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)

# The attacks: every request on a key.
ATTACKS: dict[str, Callable[[Any, str], Answer]] = {
    "me": lambda client, _: client.get("/v1/auth/me"),
    "list": lambda client, _: client.get("/v1/keys?limit=100"),
    "create": lambda client, _: send(
        client, "/v1/keys", {"name": "owned", "expires_at": None, "allowed_ips": None}
    ),
    "retrieve": lambda client, path: client.get(path),
    "head": lambda client, path: client.head(path),
    "events": lambda client, path: client.get(f"{path}/events"),
    "all events": lambda client, _: client.get("/v1/events?limit=100"),
    "its events": lambda client, path: client.get(f"/v1/events?key={path.rpartition('/')[2]}"),
    "its acts": lambda client, path: client.get(f"/v1/events?actor={path.rpartition('/')[2]}"),
    "rename": lambda client, path: change(client, path, {"name": "owned"}),
    "widen": lambda client, path: change(
        client, path, {"scopes": list(ALL_SCOPES), "expires_at": None, "allowed_ips": None}
    ),
    "rotate": lambda client, path: send(client, f"{path}/rotate", {"overlap_seconds": 0}),
    "finish": lambda client, path: send(client, f"{path}/finish_rotation", {}),
    "revoke": lambda client, path: client.delete(f"{path}?reason=owned"),
    "cascade": lambda client, path: client.delete(f"{path}?cascade=true"),
}

EVENTS = ("all events", "its events", "its acts")


def send(client: Client, path: str, body: object) -> Answer:
    return client.post(path, body, content_type="application/json")


def change(client: Client, path: str, body: object) -> Answer:
    return client.patch(path, body, content_type="application/json")


@time_machine.travel(NOW, tick=False)
class AttackTestCase(ApiTestCase):
    """The victim is being rotated and has an expiry, allowed addresses, and a child."""

    def setUp(self) -> None:
        self.victim, holder = self.issue(
            name="victim", expires_at=NOW + timedelta(days=9), allowed_ips=["127.0.0.0/8"]
        )
        self.child, _ = self.make(holder)
        self.rotate(holder, self.victim)
        self.path = f"/v1/keys/{self.victim.id}"

    def state(self) -> list[Any]:
        """Return everything stored of the victim and of its child."""
        ids = [self.victim.id, self.child.id]
        return [
            list(ApiKey.objects.filter(pk__in=ids).order_by("pk").values()),
            [
                {**row, "digest": bytes(row["digest"])}
                for row in KeySecret.objects.filter(api_key__in=ids).order_by("pk").values()
            ],
            list(AuditEvent.objects.filter(target_id__in=ids).values_list("pk", flat=True)),
        ]


@time_machine.travel(NOW, tick=False)
class AttackerTests(AttackTestCase):
    def assertRepelled(
        self,
        client: Client,
        default: tuple[int, str],
        others: dict[str, tuple[int, str] | int] | None = None,
    ) -> None:
        """Check the answer to each attack and that none changed the victim."""
        before = self.state()
        for name, attack in ATTACKS.items():
            with self.subTest(name):
                response = attack(client, self.path)
                expected = (others or {}).get(name, default)
                if isinstance(expected, int):
                    self.assertEqual(response.status_code, expected, response.content[:300])
                elif name == "head":
                    self.assertEqual((response.status_code, response.content), (expected[0], b""))
                else:
                    field = response.json()["error"].get("field")
                    self.assertRefused(response, *expected, field=field)
                self.assertEqual(self.state(), before)
                for told in ("victim", self.victim.id, self.child.id):
                    self.assertNotIn(told, response.content.decode())

    def test_request_without_a_key_or_with_an_unknown_one_is_repelled_everywhere(self):
        self.assertRepelled(Client(), (401, "api_key_missing"))
        stranger = ApiClient(new_plaintext(livemode=True))
        self.assertRepelled(stranger, (401, "api_key_invalid"))

    def test_key_of_another_organization_is_repelled_everywhere(self):
        _, client = self.issue(organization=self.globex)
        own = {"me": 200, "list": 200, "create": 201, **dict.fromkeys(EVENTS, 200)}
        self.assertRepelled(client, (404, "resource_not_found"), {**own})

    def test_key_of_another_mode_is_repelled_everywhere(self):
        _, client = self.issue(livemode=False)
        own = {"me": 200, "list": 200, "create": 201, **dict.fromkeys(EVENTS, 200)}
        self.assertRepelled(client, (404, "resource_not_found"), {**own})

    def test_restricted_key_is_repelled_everywhere(self):
        for scopes in (["tests:read"], list(ALL_SCOPES[:-1])):
            _, client = self.issue(scopes=scopes)
            own = {"me": 200, "list": 200}
            self.assertRepelled(client, (403, "insufficient_scope"), {**own})

    def test_expired_key_is_repelled_everywhere(self):
        _, client = self.issue(expires_at=NOW + SECOND)
        with time_machine.travel(NOW + SECOND, tick=False):
            self.assertRepelled(client, (401, "api_key_expired"))

    def test_rotated_out_secret_is_repelled_everywhere(self):
        api_key, client = self.issue()
        self.rotate(client, api_key, overlap_seconds=1)
        with time_machine.travel(NOW + SECOND, tick=False):
            self.assertRepelled(client, (401, "api_key_expired"))
        api_key, client = self.issue()
        self.rotate(client, api_key, overlap_seconds=0)
        self.assertRepelled(client, (401, "api_key_expired"))

    def test_revoked_key_is_repelled_everywhere(self):
        api_key, client = self.issue()
        revoke(api_key, actor=Actor.cli())
        self.assertRepelled(client, (401, "api_key_invalid"))

    def test_key_from_a_wrong_address_is_repelled_everywhere(self):
        _, client = self.issue(allowed_ips=["192.0.2.0/24", "2001:db8::/32"])
        self.assertRepelled(client, (403, "ip_not_allowed"))
        client.defaults["HTTP_X_FORWARDED_FOR"] = "192.0.2.7"
        self.assertRepelled(client, (403, "ip_not_allowed"))

    def test_key_of_a_suspended_organization_is_repelled_everywhere(self):
        _, client = self.issue()
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.assertRepelled(client, (403, "organization_suspended"))
