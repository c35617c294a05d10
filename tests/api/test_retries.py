"""Tests of Idempotency-Key: a request sent again with it creates nothing twice."""

import hashlib
import json
from datetime import timedelta

import time_machine
from django.db import connection

from apikeys.models import ApiKey, KeySecret, RememberedRequest
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import Answer, ApiClient
from tests.support.retries import CI, HEADER, NOW, RetryTestCase


class HeaderTests(RetryTestCase):
    def test_idempotency_key_bare_or_quoted_is_the_same_token(self):
        for first, again in [
            ("5f3b-11", '"5f3b-11"'),
            ("  5f3b-12 ", "5f3b-12"),
            ('say "hi"', r'"say \"hi\""'),
            (r"a\b", r'"a\\b"'),
            ('"a b"', "a b"),
            ("!~", '"!~"'),
            ("x" * 255, f'"{"x" * 255}"'),
            ('"' + r"\\" * 255 + '"', "\\" * 255),
        ]:
            with self.subTest(first):
                made = self.create(first)
                self.made(made)
                again_answer = self.create(again)
                self.replayed(again_answer)
                self.assertEqual(again_answer.json()["id"], made.json()["id"])

    def test_idempotency_keys_differing_at_all_are_two_tokens(self):
        for token in ("abc", "ABC", "ab c", "abc'", "'abc'", "abc,abc"):
            with self.subTest(token):
                self.made(self.create(token))

    def test_malformed_idempotency_key_is_refused_and_nothing_made(self):
        for token in (
            "",
            " ",
            '""',
            '"',
            '"abc',
            '"a"b"',
            '"abc" ; q=1',
            r'"a\b"',
            '"a\\"',
            "x" * 256,
            f'"{"x" * 256}"',
            "é",
            "\xc3\xa9",
            "ключ",
            '"é"',
            "a\tb",
            "\tab",
            "a\nb",
            "a\x00b",
            "a\x1b[0m",
            "a\x7f",
            "a\u200bb",
        ):
            with self.subTest(token):
                response = self.create(token)
                self.assertRefused(response, 400, "parameter_invalid", field=HEADER)
                self.assertNothingWritten(response)

    def test_api_key_as_idempotency_key_is_refused_and_not_repeated(self):
        key = self.client_of_key.key
        for token in (key, f'"{key}"', f"retry-{key}-1", key.replace("_", "%5F"), key[:-6]):
            with self.subTest(token.replace(key[17:], "…")):
                response = self.create(token)
                self.assertRefused(response, 400, "contains_api_key", field=HEADER)
                self.assertNotIn(key[17:40], response.content.decode())
                self.assertNothingWritten(response)

    def test_create_without_an_idempotency_key_makes_a_key_each_time(self):
        ids = {self.client_of_key.send("/v1/keys", CI).json()["id"] for _ in range(2)}
        self.assertEqual(len(ids), 2)
        self.assertEqual(RememberedRequest.objects.count(), 0)


class SameRequestTests(RetryTestCase):
    def post(self, text: str) -> Answer:
        return self.client_of_key.post(
            "/v1/keys", text, content_type="application/json", headers={HEADER: "t-1"}
        )

    def test_retry_with_other_spacing_escapes_or_member_order_is_the_same_request(self):
        first = self.post('{"name":"CI é","scopes":["tests:read"]}')
        self.made(first)
        for text in (
            '{ "name" : "CI é",\n "scopes" : [ "tests:read" ] }\n',
            '{"scopes": ["tests:read"], "name": "CI é"}',
            r'{"n\u0061me": "CI \u00e9", "scopes": ["tests:read"]}',
        ):
            with self.subTest(text):
                again = self.post(text)
                self.replayed(again)
                self.assertEqual(again.json()["id"], first.json()["id"])

    @time_machine.travel(NOW, tick=False)
    def test_retry_with_another_body_is_idempotency_key_reused(self):
        first = self.create(body={"name": "CI", "scopes": ["tests:read"]})
        client = self.made(first)
        events = AuditEvent.objects.count()
        for body in (
            {"name": "CI"},
            {"name": "ci", "scopes": ["tests:read"]},
            {"name": "CI", "scopes": ["tests:read"], "expires_at": None},
            {"name": "CI", "scopes": ["tests:read"], "allowed_ips": None},
            {"name": "CI", "scopes": ["tests:read", "tests:write"]},
        ):
            with self.subTest(body):
                error = self.assertRefused(
                    self.create(body=body), 409, "idempotency_key_reused", field=HEADER
                )
                self.assertIn(first.json()["created_at"], error["message"])
        self.assertEqual(ApiKey.objects.count(), 2)
        self.assertEqual(AuditEvent.objects.count(), events)
        self.assertWorks(client)

    def test_idempotency_key_belongs_to_the_calling_key(self):
        _, sibling = self.issue()
        _, sandbox = self.issue(livemode=False)
        _, globex = self.issue(organization=self.globex)
        ids = set()
        for client in (self.client_of_key, sibling, sandbox, globex):
            response = self.create(by=client)
            self.made(response)
            ids.add(response.json()["id"])
        self.assertEqual(len(ids), 4)
        # Another key's request with the same token does not matter.
        self.made(self.create("t-2", {"name": "a"}))
        self.made(self.create("t-2", {"name": "b"}, by=sibling))

    def test_retry_with_the_calling_keys_rotated_secret_is_the_same_request(self):
        response = self.create(body={"name": "CI"})
        self.made(response)
        newest = ApiClient(rotate(self.key, actor=Actor.cli(), overlap=timedelta(0)))
        self.assertEqual(self.create(by=newest).json()["id"], response.json()["id"])

    def test_refused_request_is_not_remembered(self):
        for refused in ({}, {"name": ""}, {"name": "CI", "scope": []}, {"name": "CI", "scopes": 5}):
            self.assertEqual(self.create(body=refused).status_code, 400)
        ApiKey.objects.filter(pk=self.key.pk).update(scopes=["tests:read"])
        self.assertRefused(self.create(), 403, "insufficient_scope")
        ApiKey.objects.filter(pk=self.key.pk).update(scopes=self.key.scopes)
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.assertRefused(self.create(), 403, "organization_suspended")
        self.acme.resume(actor=Actor.cli(), reason="paid")
        self.assertEqual(RememberedRequest.objects.count(), 0)

        self.made(self.create())

    def test_request_is_remembered_for_24_hours(self):
        with time_machine.travel(NOW, tick=False) as clock:
            first = self.create().json()
            clock.shift(timedelta(hours=12))
            self.replayed(self.create())
            # From the first sending, not from the last.
            clock.move_to(NOW + timedelta(hours=24, seconds=-1))
            again = self.create()
            self.replayed(again)
            self.assertEqual(again.json()["id"], first["id"])
            clock.move_to(NOW + timedelta(hours=24))
            late = self.create(body={"name": "CI"})
            self.made(late)
            self.assertNotEqual(late.json()["id"], first["id"])
            # A forgotten token may be used for another request.
            clock.shift(timedelta(hours=24))
            self.made(self.create(body={"name": "other"}))
            self.assertRefused(self.create(), 409, "idempotency_key_reused", field=HEADER)
        self.assertEqual(ApiKey.objects.count(), 4)


class RememberedRequestTests(RetryTestCase):
    def test_remembered_request_holds_no_secret_and_no_token(self):
        secrets = [self.create("t-secret-token").json()["key"] for _ in range(2)]
        (created,) = RememberedRequest.objects.values()

        request = json.dumps(["POST", "/v1/keys", CI], sort_keys=True).encode()
        newest = KeySecret.objects.get(locator=secrets[1].split("_")[2])
        self.assertEqual(
            {name: value for name, value in created.items() if name not in ("id", "created_at")},
            {
                "caller_id": self.key.id,
                "token_digest": hashlib.sha256(b"t-secret-token").digest(),
                "fingerprint": hashlib.sha256(request).digest(),
                "secret_id": newest.pk,
            },
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in cursor.fetchall():
                cursor.execute(f'SELECT string_agg(t::text, chr(10)) FROM "{table}" t')
                text = cursor.fetchone()[0] or ""
                for secret in [key[17:] for key in secrets]:
                    self.assertNotIn(secret, text, table)
                    self.assertNotIn(secret.encode().hex(), text, table)
                    self.assertNotIn(hashlib.sha256(secret.encode()).hexdigest(), text, table)
                    self.assertNotIn("t-secret-token", text, table)
