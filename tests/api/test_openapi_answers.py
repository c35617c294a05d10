"""Tests that every endpoint answers with every documented status, as documented."""

import json
from datetime import timedelta
from typing import Any
from unittest import mock

import jsonschema
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from tests.support.cast import Answer, ApiClient, ApiTestCase
from tests.support.openapi import fetch_document, resolved

# Headers that must be documented where they are sent, and nowhere else.
OURS = {
    "Request-Id",
    "Allow",
    "Location",
    "WWW-Authenticate",
    "Retry-After",
    "ReachScore-Key-Expires-At",
    "Accept-Patch",
    "Idempotent-Replayed",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
}


def closed(schema: Any) -> Any:
    """Return the schema with unnamed members forbidden."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    is_object = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    return {**parts, "additionalProperties": False} if is_object else parts


class RealAnswerTests(ApiTestCase):
    document: dict[str, Any]
    closed: dict[str, Any]

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        document = fetch_document()
        cls.document = resolved(document, document)
        cls.closed = closed(cls.document)

    def operation(self, method: str, path: str) -> dict[str, Any]:
        operation: dict[str, Any] = self.document["paths"][path][method]
        return operation

    def documented(self, method: str, path: str, response: Answer) -> tuple[str, dict[str, Any]]:
        """Return the response of the document that stands for this one, and its status."""
        responses = self.closed["paths"][path][method]["responses"]
        status = str(response.status_code)
        status = status if status in responses else "default"
        return status, responses[status]

    def assertDocumented(self, method: str, path: str, response: Answer) -> None:
        """Check that status and code are documented and the body fits the schema."""
        status, documented = self.documented(method, path, response)
        if response.status_code >= 400:
            self.assertIn(f"`{response.json()['error']['code']}`", documented["description"])
        else:
            self.assertNotEqual(status, "default")
        schema = documented["content"]["application/json"]["schema"]
        errors = jsonschema.Draft202012Validator(schema).iter_errors(response.json())
        self.assertEqual([f"{error.json_path}: {error.message}" for error in errors], [])

    def setUp(self) -> None:
        _, self.api = self.issue()
        self.api.raise_request_exception = False
        self.key, secret = self.issue(expires_at=timezone.now() + timedelta(days=8))
        self.rotate(secret, self.key)
        self.revoked, _ = self.issue()
        self.api.delete(f"/v1/keys/{self.revoked.id}?reason=exposed")

    def ask(
        self, method: str, path: str, body: object = b"", *, by: Any = None, **extra: Any
    ) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        options = {"content_type": "application/json", **extra}
        return (by or self.api).generic(method.upper(), path, data, **options)

    def soon(self, **fields: Any) -> tuple[ApiKey, ApiClient]:
        """Issue a key near its end, so that its answers have every header."""
        api_key, client = self.issue(expires_at=timezone.now() + timedelta(days=9), **fields)
        client.raise_request_exception = False
        return api_key, client

    def refusals(self, method: str, path: str, *, body: object, url: str) -> list[Answer]:
        """Return the refusals common to all endpoints, and those common to all endpoints of one
        key.
        """
        api: Client = self.api
        by: Client = self.soon()[1]
        places = ["apikeys.authentication.statement._fetch_once"]  # Before it was counted,
        places.append("apikeys.authentication.caller.Caller.require_rate")  # and after.
        if not self.operation(method, path)["security"]:
            api = by = Client(raise_request_exception=False)
            places = ["notices.leaks.exposed.take_turn"]
        answers = [
            Client().generic(method.upper(), url),
            self.ask(method, f"{url}?nope=1", body, by=by),
            self.ask(method, f"{url}?key=x", body),
            self.ask(method, url, body, HTTP_HOST="evil.example"),
            self.ask(method, url, body, HTTP_ACCEPT="text/csv"),
            self.ask("put", url, body),
        ]
        if "{key_id}" in path:
            nowhere = path.replace("{key_id}", "key_000000000000")
            answers.append(self.ask(method, nowhere, body, by=by))
        if self.operation(method, path).get("requestBody"):
            answers += [
                self.ask(method, url, b"{", by=api),
                self.ask(method, url, {"nope": 1}, by=api),
                self.ask(method, url, b" " * 70_000, by=by),
                self.ask(method, url, b"{}", content_type="text/plain", by=by),
                self.ask(method, url, b"", CONTENT_LENGTH="x", by=api),
            ]
        for place in places:
            for fault, code in [(RuntimeError("bug"), 500), (OperationalError("away"), 503)]:
                with (
                    mock.patch(place, side_effect=fault),
                    mock.patch("logging.Logger.handle"),
                ):
                    answers.append(self.ask(method, url, body, by=by))
                self.assertEqual(answers[-1].status_code, code)
        return answers

    def good(self, method: str, path: str, url: str) -> list[Answer]:
        """Return answers to valid requests of every kind this endpoint takes."""
        end = {"expires_at": (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
        token = {"HTTP_IDEMPOTENCY_KEY": "one"}
        if not self.operation(method, path)["security"]:
            return self.good_public(method, url)
        requests: dict[tuple[str, str], list[tuple[str, object]]] = {
            ("get", "/v1/keys"): [("?limit=1", b""), ("?limit=100&status=revoked", b"")],
            ("post", "/v1/keys"): [
                ("", {"name": "x", **end, "scopes": ["tests:read"], "allowed_ips": ["127.0.0.1"]}),
                ("", {"name": "x", "expires_at": None}),
            ],
            ("patch", "/v1/keys/{key_id}"): [
                ("", {}),
                ("", {"name": "y", **end, "allowed_ips": ["::1", "10.0.0.0/8"]}),
                ("", {"expires_at": None}),
            ],
            ("patch", "/v1/organization"): [
                ("", {}),
                ("", {"contacts": [{"email": "ops@acme.example"}], "on_leak": "revoke"}),
                ("", {"on_leak": "notify"}),
            ],
            ("get", "/v1/auth/me"): [("", b""), ("?require=tests:read", b"")],
            ("delete", "/v1/keys/{key_id}"): [("?reason=x&cascade=true", b""), ("", b"")],
        }
        answers = [
            self.ask(method, url + query, body)
            for query, body in requests.get((method, path), [("", {})])
        ]
        busy = self.organization("Busy", "team")
        Organization.objects.filter(pk=busy.pk).update(requests_per_minute=0)
        api_key, ending = self.soon()
        own = path.replace("{key_id}", api_key.id)
        body = {**end, "name": "x", "scopes": ["tests:read"]} if path == "/v1/keys" else {}
        answers += [
            self.ask(method, url, by=self.soon(scopes=list(ALL_SCOPES[:-1]))[1]),
            self.ask(method, url, by=self.soon(allowed_ips=["192.0.2.7"])[1]),
            self.ask(method, url, by=self.soon(organization=busy)[1]),
            self.ask(method, url, {"name": "x"} if path == "/v1/keys" else {}, by=ending),
            self.ask(method, own, body if method == "post" else {}, by=ending),
        ]
        if path.startswith("/v1/keys/{key_id}"):
            inactive = path.replace("{key_id}", self.revoked.id)
            answers.append(self.ask(method, inactive, {"name": "x"} if method == "patch" else {}))
        if path == "/v1/keys" and method == "post":
            answers += [self.ask(method, url, body, by=ending, **token) for _ in range(2)]
            answers.append(self.ask(method, url, {"nope": 1}, **token))
            answers.append(self.ask(method, url, {**body, "name": "other"}, by=ending, **token))
            sandbox = self.issue(livemode=False)[1]
            answers.append(sandbox.simulate("idempotency_in_progress"))
        return answers

    def good_public(self, method: str, url: str) -> list[Answer]:
        """Return the same of an endpoint that takes no key: all of it, and a 429."""
        sent = [self.ask(method, url, {"keys": ["x"]}, by=Client()) for _ in range(61)]
        return [sent[0], sent[-1]]

    def test_every_documented_status_and_header_is_answered_and_fits_its_schema(self):
        paths = self.document["paths"]
        # Revoking comes last: the others need the key.
        operations = [(method, path) for path in paths for method in paths[path]]
        for method, path in sorted(operations, key=lambda operation: operation[0] == "delete"):
            url = path.replace("{key_id}", self.key.id)
            bodies = {"/v1/keys": {"name": "x"}, "/v1/revoke_exposed": {"keys": ["x"]}}
            body = bodies.get(path, {}) if method == "post" else {}
            answers = self.refusals(method, path, body=body, url=url)
            answers += self.good(method, path, url)
            sent: dict[str, set[str]] = {}
            for response in answers:
                with self.subTest(f"{method} {path} {response.status_code}"):
                    self.assertDocumented(method, path, response)
                status, _ = self.documented(method, path, response)
                sent.setdefault(status, set()).update(response.headers.keys() & OURS)
            if (method, path) == ("patch", "/v1/organization"):
                sent["200"].add("ReachScore-Key-Expires-At")  # Such a key is refused there.
            with self.subTest(f"{method} {path}"):
                responses = self.operation(method, path)["responses"].items()
                self.assertEqual(sent, {status: set(each["headers"]) for status, each in responses})
