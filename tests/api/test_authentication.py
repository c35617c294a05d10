"""Tests of authentication: a request needs one working key in one Authorization header."""

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from apikeys.models import KeySecret
from apikeys.plaintext import checksum, new_plaintext
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import Answer, ApiTestCase
from web.ids import random_base62


def ask(authorization: str | None, **headers: str) -> Answer:
    if authorization is not None:
        headers["Authorization"] = authorization
    return Client().get("/v1/auth/me", headers=headers)


class BearerHeaderTests(ApiTestCase):
    def test_bearer_scheme_is_case_insensitive_and_takes_several_spaces(self):
        key = self.issue()[1].key
        for scheme in ("Bearer", "bearer", "BEARER", "Bearer  "):
            with self.subTest(scheme):
                self.assertEqual(ask(f"{scheme} {key}").status_code, 200)

    def test_request_without_authorization_is_api_key_missing_with_a_bare_challenge(self):
        response = ask(None)
        self.assertRefused(response, 401, "api_key_missing")
        self.assertEqual(response["WWW-Authenticate"], 'Bearer realm="ReachScore"')

    def test_key_in_another_header_is_refused_and_the_fix_names_authorization(self):
        key = self.issue()[1].key
        for header in ("Api-Key", "X-Api-Key"):
            with self.subTest(header):
                error = self.assertRefused(ask(None, **{header: key}), 401, "api_key_missing")
                self.assertIn(header, error["fix"])
                self.assertIn("Authorization: Bearer", error["fix"])

    def test_malformed_authorization_is_api_key_invalid_without_a_query(self):
        key = self.issue()[1].key
        other = self.issue()[1].key
        for authorization, fix in [
            ("", "empty"),
            ("Bearer", "after the word Bearer"),
            ("Bearer ", "after the word Bearer"),
            (key, "Put the word Bearer"),
            (f"Basic {key}", "no other scheme"),
            (f"Api-Key {key}", "no other scheme"),
            (f"Token {key}", "no other scheme"),
            (f'Bearer "{key}"', "quotes"),
            (f"Bearer '{key}'", "quotes"),
            (f'Bearer {key}"', "quotes"),
            (f"Bearer <{key}>", "brackets"),
            ("Bearer <your key>", "one key"),
            ("Bearer {{key}}", "placeholder"),
            (f"Bearer: {key}", "one space"),
            (f"Bearer{key}", "one space"),
            ("Bearer key_3iS8wW2xYbC4", "a key's id"),
            (f"Bearer {key} {other}", "one key"),
            (f"Bearer {key}, Bearer {other}", "one key"),
            (f"Bearer {key},{other}", "one key"),
            (f"Bearer Bearer {key}", "stands twice"),
            ("Bearer $REACHSCORE_API_KEY", "placeholder"),
            ("Bearer rk_live_xxx", "whole key"),
            (f"Bearer {key[:-1]}", "whole key"),
            (f"Bearer {key}x", "whole key"),
            (f"Bearer {key[1:]}", "whole key"),
            (f"Bearer {key.upper()}", "whole key"),
            (f"Bearer {key.replace('rk_live_', 'rk_test_')}", "whole key"),
            (f"Bearer {key.replace('rk_', 'sk_')}", "whole key"),
            (f"Bearer {key}\x00", "whole key"),
            (f"Bearer {key[:20]}\x00{key[21:]}", "whole key"),
            (f"Bearer {key}\n", "whole key"),
            (f"Bearer {key[:-1]}é", "whole key"),
            (f"Bearer {key[:-1]}\ud800", "whole key"),
            ("Bearer " + "９" * 55, "whole key"),
            ("Bearer " + "a" * 1_000_000, "whole key"),
            ("a" * 1_000_000, "no other scheme"),
            ("Bearer " + key * 10_000, "whole key"),
        ]:
            with self.subTest(ascii(authorization[:80])):
                with self.assertNumQueries(0):
                    response = ask(authorization)
                error = self.assertRefused(response, 401, "api_key_invalid")
                self.assertIn(fix, error["fix"])
                self.assertEqual(
                    response["WWW-Authenticate"], 'Bearer realm="ReachScore", error="invalid_token"'
                )
                self.assertNotIn(key[-20:], response.content.decode())

    def test_unknown_locator_wrong_secret_and_bad_checksum_answer_alike(self):
        key = self.issue()[1].key
        body = key[:17] + random_base62(32)
        wrong_secret = body + checksum(body)
        bad_checksum = key[:-1] + ("a" if key[-1] != "a" else "b")

        answers = set()
        for attempt in (new_plaintext(livemode=True), wrong_secret, bad_checksum):
            response = ask(f"Bearer {attempt}", **{"Request-Id": "the-same-id"})
            self.assertRefused(response, 401, "api_key_invalid")
            answers.add((response.content, str(sorted(response.headers.items()))))

        self.assertEqual(len(answers), 1)

    def test_authenticated_request_sets_no_cookie(self):
        _, client = self.issue()
        self.assertEqual(len(client.get("/v1/auth/me").cookies), 0)

    def test_staff_session_does_not_authenticate_an_api_request(self):
        self.assertRefused(self.staff().get("/v1/auth/me"), 401, "api_key_missing")


class KeyStateTests(ApiTestCase):
    def test_revoked_key_is_refused_by_the_next_request(self):
        api_key, client = self.issue()
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

        revoke(api_key, actor=Actor.cli(), reason="left the company")

        self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")
        self.assertRefused(client.send("/v1/keys", {"name": "x"}), 401, "api_key_invalid")

    def test_revoking_one_key_leaves_its_siblings_working(self):
        api_key, _ = self.issue()
        _, sibling = self.issue()
        revoke(api_key, actor=Actor.cli())
        self.assertEqual(sibling.get("/v1/auth/me").status_code, 200)

    def test_expired_key_is_api_key_expired_only_to_its_holder(self):
        api_key, client = self.issue(expires_at=timezone.now() + timedelta(hours=1))
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        type(api_key).objects.update(
            created_at=timezone.now() - timedelta(hours=2),
            expires_at=timezone.now() - timedelta(seconds=1),
        )
        response = client.get("/v1/auth/me")
        self.assertRefused(response, 401, "api_key_expired")
        self.assertIn('error="invalid_token"', response["WWW-Authenticate"])

        body = client.key[:17] + random_base62(32)
        self.assertRefused(ask(f"Bearer {body}{checksum(body)}"), 401, "api_key_invalid")

    def test_ended_secret_of_a_working_key_is_api_key_expired(self):
        _, client = self.issue()
        KeySecret.objects.update(expires_at=timezone.now())
        self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_expired")

    def test_revoked_key_with_an_ended_secret_is_api_key_invalid(self):
        api_key, client = self.issue()
        KeySecret.objects.update(expires_at=timezone.now())
        revoke(api_key, actor=Actor.cli())
        self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")

    def test_suspension_refuses_the_organizations_keys_and_resumption_restores_them(self):
        _, client = self.issue()
        _, stranger = self.issue(organization=self.globex)

        self.acme.suspend(actor=Actor.staff(self.sam), reason="unpaid")
        self.assertRefused(client.get("/v1/auth/me"), 403, "organization_suspended")
        self.assertEqual(stranger.get("/v1/auth/me").status_code, 200)

        self.acme.resume(actor=Actor.staff(self.sam), reason="paid")
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
