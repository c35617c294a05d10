"""Tests of `DELETE /v1/keys/{id}`: revocation is immediate, final and idempotent."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import time_machine

from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)


def path(api_key: ApiKey, query: str = "") -> str:
    return f"/v1/keys/{api_key.id}{query and '?'}{query}"


@time_machine.travel(NOW, tick=False)
class RevokeTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue(name="manager")[1]

    def test_revoke_answers_the_revoked_key_and_ends_every_secret(self):
        api_key, client = self.issue()
        new = self.rotate(self.api, api_key)
        before = self.api.get(path(api_key)).json()

        response = self.api.delete(path(api_key, "reason=left%20the%20company"))

        self.assertEqual(response.status_code, 200)
        revoked = {
            "status": "revoked",
            "revoked_at": "2026-03-11T10:30:00Z",
            "revoked_reason": "left the company",
        }
        self.assertEqual(response.json(), before | revoked)
        self.assertEqual(list(response.json()), list(before))
        for secret in (client, new):
            self.assertRefused(secret.get("/v1/auth/me"), 401, "api_key_invalid")
        self.assertEqual(self.api.get(path(api_key)).json(), response.json())

    def test_second_revoke_changes_nothing_and_keeps_the_first_reason(self):
        api_key, _ = self.issue()
        first = self.api.delete(path(api_key, "reason=first")).json()
        with time_machine.travel(NOW + timedelta(hours=1), tick=False):
            for query in ("reason=second", "", "reason="):
                response = self.api.delete(path(api_key, query))
                self.assertEqual((response.status_code, response.json()), (200, first))
        self.assertEqual(self.actions(api_key), ["issued", "revoked"])

    def test_revoke_event_says_who_and_why(self):
        api_key, _ = self.issue()
        self.api.delete(path(api_key, "reason=exposed"))
        event = AuditEvent.objects.latest("sequence")
        self.assertEqual(
            (event.action, event.target_id, event.actor_type, event.actor_label, event.reason),
            ("api_key.revoked", api_key.id, "key", "manager", "exposed"),
        )
        self.assertEqual((event.changes, event.livemode), ({}, True))

    def test_key_can_revoke_itself_with_any_of_its_secrets(self):
        for scopes in (list(ALL_SCOPES), ["tests:read"]):
            for by in ("newest", "retiring"):
                with self.subTest(f"{len(scopes)} {by}"):
                    api_key, old = self.issue(scopes=scopes)
                    new = self.rotate(self.api, api_key)
                    response = (new if by == "newest" else old).delete(path(api_key))
                    self.assertEqual(response.json()["status"], "revoked")
                    for client in (old, new):
                        response = client.delete(path(api_key))
                        self.assertRefused(response, 401, "api_key_invalid")

    def test_restricted_key_cannot_revoke_another(self):
        other, client = self.issue()
        _, restricted = self.issue(scopes=list(ALL_SCOPES[:-1]))
        for target in (path(other), "/v1/keys/key_000000000000"):
            self.assertRefused(restricted.delete(target), 403, "insufficient_scope")
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        self.assertEqual(self.actions(other), ["issued"])

    def test_expired_key_can_be_revoked(self):
        api_key, client = self.issue(expires_at=NOW + timedelta(seconds=1))
        with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
            self.assertEqual(self.api.delete(path(api_key)).json()["status"], "revoked")
            self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")

    def test_revocation_by_staff_is_final_and_hides_its_reason(self):
        api_key, _ = self.issue()
        revoke(api_key, actor=Actor.staff(self.sam), reason="fraud")
        answer = self.api.delete(path(api_key, "reason=ours")).json()
        self.assertIsNone(answer["revoked_reason"])
        api_key.refresh_from_db()
        self.assertEqual(api_key.revoked_reason, "fraud")

    def test_revoke_without_cascade_spares_the_children(self):
        maker, making = self.make(self.api)
        _, child = self.make(making)
        answer = self.api.delete(path(maker, "cascade=false")).json()
        self.assertNotIn("cascade", answer)
        self.assertEqual(child.get("/v1/auth/me").status_code, 200)


class ReasonTests(ApiTestCase):
    def test_revoke_reason_is_kept_trimmed_up_to_200_characters(self):
        _, api = self.issue()
        for reason, kept in [
            ("", None),
            ("   ", None),
            (" leaked ", "leaked"),
            ("x" * 200, "x" * 200),
            (" " + "ü" * 200 + " ", "ü" * 200),
            ("漏洩 🔑 <b>'\";--</b> 100%", "漏洩 🔑 <b>'\";--</b> 100%"),
        ]:
            with self.subTest(reason[:20]):
                api_key, _ = self.issue()
                response = api.delete(path(api_key, f"reason={quote(reason)}"))
                self.assertEqual(response.status_code, 200)
                self.assertEqual(response.json()["revoked_reason"], kept)

    def test_revoke_with_an_invalid_reason_or_parameter_is_refused_and_revokes_nothing(self):
        api_key, api = self.issue()
        key = quote(api.key)
        for query, code, field in [
            ("reason=" + "x" * 201, "parameter_invalid", "reason"),
            ("reason=a%00b", "parameter_invalid", "reason"),
            ("reason=a%0Ab", "parameter_invalid", "reason"),
            ("reason=%1B%5B31m", "parameter_invalid", "reason"),
            ("reason=%E2%80%AEx", "parameter_invalid", "reason"),
            ("reason=a&reason=a", "parameter_invalid", "reason"),
            (f"reason={key}", "api_key_in_url", None),
            (f"reason=old%3A%20{key}!", "api_key_in_url", None),
            ("reasn=x", "parameter_unknown", "reasn"),
            ("cascade=", "parameter_invalid", "cascade"),
            ("cascade=TRUE", "parameter_invalid", "cascade"),
            ("cascade=01", "parameter_invalid", "cascade"),
            ("cascade=yes", "parameter_invalid", "cascade"),
            ("cascade=true&cascade=true", "parameter_invalid", "cascade"),
            ("cascade=true&reason=a%00", "parameter_invalid", "reason"),
            ("limit=5", "parameter_unknown", "limit"),
        ]:
            with self.subTest(query[:40]):
                response = api.delete(path(api_key, query))
                error = self.assertRefused(response, 400, code, field=field)
                self.assertNotIn(api.key[-20:], str(error))
                self.assertEqual(self.actions(api_key), ["issued"])

    def test_revoke_with_an_invalid_reason_is_refused_for_a_revoked_key_too(self):
        _, api = self.issue()
        api_key, _ = self.issue()
        api.delete(path(api_key))
        response = api.delete(path(api_key, "reason=" + "x" * 201))
        self.assertRefused(response, 400, "parameter_invalid", field="reason")
