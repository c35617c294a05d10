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
from tests.support.cast import Answer, ApiTestCase

# Headers that must be documented wherever they are sent.
OURS = {
    "Request-Id",
    "WWW-Authenticate",
    "Retry-After",
    "ReachScore-Key-Expires-At",
    "Accept-Patch",
    "Idempotent-Replayed",
    "Location",
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
        cls.document = Client().get("/v1/openapi.json").json()
        cls.closed = closed(cls.document)

    def operation(self, method: str, path: str) -> dict[str, Any]:
        operation: dict[str, Any] = self.document["paths"][path][method]
        return operation

    def assertDocumented(self, method: str, path: str, response: Answer) -> None:
        """Check that the status is documented with its headers and the body fits the schema."""
        responses = self.closed["paths"][path][method]["responses"]
        self.assertIn(str(response.status_code), responses)
        documented = responses[str(response.status_code)]
        self.assertLessEqual(response.headers.keys() & OURS, documented["headers"].keys())
        schema = documented["content"]["application/json"]["schema"]
        document = {"components": self.closed["components"], **schema}
        errors = jsonschema.Draft202012Validator(document).iter_errors(response.json())
        self.assertEqual([f"{error.json_path}: {error.message}" for error in errors], [])

    def setUp(self) -> None:
        _, self.api = self.issue()
        self.api.raise_request_exception = False
        self.key, secret = self.issue(expires_at=timezone.now() + timedelta(days=8))
        self.rotate(secret, self.key)
        self.revoked, _ = self.issue()
        self.api.delete(f"/v1/keys/{self.revoked.id}?reason=exposed")

    def ask(self, method: str, path: str, body: object = b"", **extra: Any) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        options = {"content_type": "application/json", **extra}
        return self.api.generic(method.upper(), path, data, **options)

    def refusals(self, method: str, path: str, *, body: object, url: str) -> list[Answer]:
        """Return the refusals common to all endpoints, and those common to all endpoints of one
        key.
        """
        answers = [
            Client().generic(method.upper(), url),
            self.ask(method, f"{url}?nope=1", body),
            self.ask(method, f"{url}?key=x", body),
            self.ask(method, url, body, HTTP_HOST="evil.example"),
            self.ask(method, url, body, HTTP_ACCEPT="text/csv"),
            self.ask("put", url, body),
        ]
        if "{key_id}" in path:
            nowhere = path.replace("{key_id}", "key_000000000000")
            answers.append(self.ask(method, nowhere, body))
        if self.operation(method, path).get("requestBody"):
            answers += [
                self.ask(method, url, b"{"),
                self.ask(method, url, {"nope": 1}),
                self.ask(method, url, b" " * 70_000),
                self.ask(method, url, b"{}", content_type="text/plain"),
                self.ask(method, url, b"", CONTENT_LENGTH="x"),
            ]
        for fault, code in [(RuntimeError("bug"), 500), (OperationalError("away"), 503)]:
            with (
                mock.patch("apikeys.authentication.statement._fetch_once", side_effect=fault),
                mock.patch("logging.Logger.handle"),
            ):
                answers.append(self.ask(method, url, body))
            self.assertEqual(answers[-1].status_code, code)
        return answers

    def good(self, method: str, path: str, url: str) -> list[Answer]:
        """Return answers to valid requests of every kind this endpoint takes."""
        end = {"expires_at": (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
        token = {"HTTP_IDEMPOTENCY_KEY": "one"}
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
            ("get", "/v1/auth/me"): [("", b""), ("?require=tests:read", b"")],
            ("delete", "/v1/keys/{key_id}"): [("?reason=x&cascade=true", b""), ("", b"")],
        }
        answers = [
            self.ask(method, url + query, body)
            for query, body in requests.get((method, path), [("", {})])
        ]
        _, elsewhere = self.issue(allowed_ips=["192.0.2.7"])
        busy = self.organization("Busy", "team")
        Organization.objects.filter(pk=busy.pk).update(requests_per_minute=0)
        _, limited = self.issue(organization=busy)
        _, ending = self.issue(expires_at=timezone.now() + timedelta(days=9))
        callers = (self.restricted(), elsewhere, limited, ending)
        answers += [caller.generic(method.upper(), url) for caller in callers]
        if path.startswith("/v1/keys/{key_id}"):
            inactive = path.replace("{key_id}", self.revoked.id)
            answers.append(self.ask(method, inactive, {"name": "x"} if method == "patch" else {}))
        if self.documents_retries(method, path):
            fields = {"name": "x"} if path == "/v1/keys" else {}
            answers += [self.ask(method, url, fields, **token) for _ in range(2)]
            answers.append(self.ask(method, url, {"nope": 1}, **token))
            other = {"name": "other"} if path == "/v1/keys" else {"overlap_seconds": 5}
            answers.append(self.ask(method, url, other, **token))
        return answers

    def documents_retries(self, method: str, path: str) -> bool:
        parameters = self.operation(method, path).get("parameters", [])
        return any(parameter["name"] == "Idempotency-Key" for parameter in parameters)

    def test_every_documented_status_is_answered_and_fits_its_schema(self):
        paths = self.document["paths"]
        # Revoking comes last: the others need the key.
        operations = [(method, path) for path in paths for method in paths[path]]
        for method, path in sorted(operations, key=lambda operation: operation[0] == "delete"):
            url = path.replace("{key_id}", self.key.id)
            body = {"name": "x"} if (method, path) == ("post", "/v1/keys") else {}
            answers = self.refusals(method, path, body=body, url=url)
            answers += self.good(method, path, url)
            for response in answers:
                with self.subTest(f"{method} {path} {response.status_code}"):
                    self.assertDocumented(method, path, response)
            with self.subTest(f"{method} {path}"):
                seen = {str(response.status_code) for response in answers}
                self.assertEqual(seen, set(self.operation(method, path)["responses"]))
