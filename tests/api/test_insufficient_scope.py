"""Tests of `insufficient_scope`: the 403 names required, granted and missing scopes."""

from unittest import mock

from apikeys.api.me_and_usage import UsageView
from apikeys.permissions import Closed
from apikeys.scopes import ALL_SCOPES
from tests.support.cast import Answer, ApiTestCase


class InsufficientScopeTests(ApiTestCase):
    def assertNames(self, response: Answer, *, required: list[str], granted: list[str]) -> None:
        error = self.assertRefused(response, 403, "insufficient_scope")
        self.assertEqual(error["required_scopes"], required)
        self.assertEqual(error["granted_scopes"], granted)
        self.assertEqual(error["missing_scopes"], [s for s in required if s not in granted])
        self.assertEqual(
            response["WWW-Authenticate"],
            f'Bearer error="insufficient_scope", scope="{" ".join(required)}"',
        )

    def test_insufficient_scope_names_all_scopes_on_every_key_endpoint(self):
        other, _ = self.issue()
        for granted in (["tests:read"], list(ALL_SCOPES[:-1]), list(ALL_SCOPES[1:])):
            api_key, client = self.issue(scopes=granted)
            theirs, own = f"/v1/keys/{other.id}", f"/v1/keys/{api_key.id}"
            for name, response in {
                "create": client.send("/v1/keys", {"name": "x"}),
                "retrieve": client.get(theirs),
                "change": client.change(theirs, {"name": "x"}),
                "change itself": client.change(own, {"name": "x"}),
                "rotate": client.send(f"{theirs}/rotate", {}),
                "finish": client.send(f"{theirs}/finish_rotation", {}),
                "revoke": client.delete(theirs),
                "cascade": client.delete(f"{theirs}?cascade=true"),
                "cascade itself": client.delete(f"{own}?cascade=true"),
                "events": client.get(f"{theirs}/events"),
                "own events": client.get(f"{own}/events"),
                "all events": client.get("/v1/events"),
                "bad body": client.post("/v1/keys", b"{", content_type="text/plain"),
                "bad query": client.get(f"{theirs}?limit=x"),
                "no such key": client.get("/v1/keys/key_000000000000"),
            }.items():
                with self.subTest(f"{name} with {len(granted)}"):
                    self.assertNames(response, required=list(ALL_SCOPES), granted=granted)
        self.assertEqual(self.actions(other), ["issued"])

    def test_unrestricted_key_passes_every_key_endpoint(self):
        other, client = self.issue()
        path = f"/v1/keys/{other.id}"
        for response in [
            client.send("/v1/keys", {"name": "x"}),
            client.get(path),
            client.change(path, {"name": "x"}),
            client.get(f"{path}/events"),
            client.get("/v1/events"),
            client.send(f"{path}/finish_rotation", {}),
        ]:
            self.assertLess(response.status_code, 300)

    def test_insufficient_scope_on_head_is_told_by_the_header_alone(self):
        other, _ = self.issue()
        _, client = self.issue(scopes=["tests:read"])
        response = client.head(f"/v1/keys/{other.id}")
        self.assertEqual((response.status_code, response.content), (403, b""))
        self.assertIn('error="insufficient_scope"', response["WWW-Authenticate"])

    def test_view_without_a_permission_refuses_every_key(self):
        _, client = self.issue()
        with mock.patch.object(UsageView, "permission_classes", [Closed]):
            response = client.get("/v1/usage")
        self.assertNames(response, required=[], granted=list(ALL_SCOPES))

    def test_other_403_carries_no_scopes_and_no_challenge(self):
        _, client = self.issue(allowed_ips=["127.0.0.0/8"])
        response = client.send("/v1/keys", {"name": "x", "allowed_ips": None})
        error = self.assertRefused(response, 403, "exceeds_caller", field="allowed_ips")
        self.assertNotIn("required_scopes", error)
        self.assertNotIn("WWW-Authenticate", response.headers)
