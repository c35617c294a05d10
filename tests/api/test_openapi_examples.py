"""Tests that the examples of the OpenAPI document are what the service answers."""

import json
from typing import Any

import time_machine
from django.test import Client, override_settings

from apikeys.models import ApiKey
from apikeys.verbs.issue import issue
from audit.actor import Actor
from tests.support.cast import Answer, ApiClient, ApiTestCase
from tests.support.openapi import fetch_document, resolved

KEY, MAKER = "key_3iS8wW2xYbC4", "key_8Zp4QvN1kLm7"
REQUEST_ID = "req_7Hq2mVb9TzXc"


class ExampleTests(ApiTestCase):
    whole: dict[str, Any]

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        document = fetch_document()
        cls.whole = resolved(document, document)

    def setUp(self) -> None:
        self.names: dict[str, str] = {}

    def operation(self, operation_id: str) -> dict[str, Any]:
        found = [
            operation
            for methods in self.whole["paths"].values()
            for operation in methods.values()
            if operation["operationId"] == operation_id
        ]
        operation: dict[str, Any] = found[0]
        return operation

    def body(self, operation_id: str, name: str) -> Any:
        media = self.operation(operation_id)["requestBody"]["content"]["application/json"]
        return media["examples"][name]["value"]

    def example(self, operation_id: str, status: int = 200, name: str = "Example") -> Any:
        response = self.operation(operation_id)["responses"][str(status)]
        return response["content"]["application/json"]["examples"][name]["value"]

    def shown(self, answer: Answer) -> Any:
        """Return an answer with the names that the document uses for ids and secrets."""
        text = answer.content.decode()
        for real, name in self.names.items():
            text = text.replace(real, name)
        return json.loads(text)

    def learn_secret(self, plaintext: str, locator: str, hint: str) -> ApiClient:
        real = plaintext.split("_")[2]
        self.names |= {plaintext: f"rk_live_{locator}_…", real: locator, plaintext[-4:]: hint}
        return ApiClient(plaintext)

    @override_settings(ROOT_URLCONF="tests.sibling.service")  # An endpoint there takes a scope.
    def test_openapi_examples_tell_one_story_as_the_service_does(self):
        sent = {"Request-Id": REQUEST_ID, "User-Agent": "curl/8.5.0"}
        with time_machine.travel("2026-03-11T10:30:00Z", tick=False) as clock:
            maker = ApiKey(organization=self.acme, name="Terraform")
            terraform = ApiClient(issue(maker, actor=Actor.cli()))
            terraform.defaults["REMOTE_ADDR"] = "192.0.2.7"
            self.names[maker.id] = MAKER
            made = terraform.send("/v1/keys", self.body("create_key", "AKeyForCI"), **sent)
            url = f"/v1/keys/{made.json()['id']}"
            self.names[made.json()["id"]] = KEY
            ci = self.learn_secret(made.json()["key"], "3iS8wW2x", "9abc")
            self.assertEqual(self.shown(made), self.example("create_key", 201))
            self.assertEqual(list(made.json()), list(self.example("create_key", 201)))

            clock.move_to("2026-03-11T10:34:00Z")
            ci.get("/v1/tests")
            self.assertEqual(self.shown(ci.get("/v1/keys")), self.example("list_keys"))

            clock.move_to("2026-05-02T08:15:00Z")
            ci.get("/v1/tests")
            clock.move_to("2026-05-02T09:00:00Z")
            hour = self.body("rotate_key", "AnHour")
            rotated = terraform.send(f"{url}/rotate", hour, **sent)
            ci = self.learn_secret(rotated.json()["key"], "Qw9Zt5Rb", "7xyz")
            self.assertEqual(self.shown(rotated), self.example("rotate_key"))
            events = self.shown(terraform.get(f"{url}/events?limit=1"))
            (event,), (expected,) = events["data"], self.example("list_key_events")["data"]
            self.assertEqual({**event, "id": expected["id"]}, expected)

            clock.move_to("2026-05-02T09:05:00Z")
            ci.get("/v1/tests")
            nothing = self.body("finish_rotation", "NoFields")
            finished = terraform.send(f"{url}/finish_rotation", nothing)
            anywhere = terraform.change(url, self.body("change_key", "AnyAddress"))
            for answer, operation_id in (
                (finished, "finish_rotation"),
                (terraform.get(url), "get_key"),
                (anywhere, "change_key"),
            ):
                self.assertEqual(self.shown(answer), self.example(operation_id))

            found = self.body("revoke_exposed", "AKeyInARepository")
            taken = Client().post("/v1/revoke_exposed", found, content_type="application/json")
            self.names[taken.json()["id"]] = self.example("revoke_exposed", 202)["id"]
            self.assertEqual(self.shown(taken), self.example("revoke_exposed", 202))
            self.assertEqual(list(taken.json()), list(self.example("revoke_exposed", 202)))

            clock.move_to("2026-05-02T09:10:00Z")
            reason = "?cascade=true&reason=exposed%20in%20a%20build%20log"
            revoked = terraform.delete(url + reason)
            self.assertEqual(self.shown(revoked), self.example("revoke_key"))
            self.assertEqual(ci.get("/v1/auth/me").status_code, 401)

    def test_openapi_examples_of_refusals_are_what_the_service_says(self):
        _, live = self.issue()
        _, limited = self.issue(expires_at=None, allowed_ips=["192.0.2.7"])
        reader = self.issue(scopes=["tests:read", "tests:write"])[1]
        revoked, gone = self.issue()
        scope = {"name": "CI", "scope": ["tests:read"]}
        live.delete(f"/v1/keys/{revoked.id}")
        self.names[revoked.id] = KEY
        limited.defaults["REMOTE_ADDR"] = "203.0.113.9"
        for operation_id, status, name, answer in [
            ("list_keys", 400, "parameter_unknown", live.send("/v1/keys", scope)),
            ("list_keys", 401, "api_key_invalid", gone.get("/v1/keys")),
            ("list_keys", 403, "ip_not_allowed", limited.get("/v1/keys")),
            ("get_usage", 403, "insufficient_scope", reader.get("/v1/usage")),
            (
                "create_key",
                403,
                "insufficient_scope_to_manage_keys",
                reader.send("/v1/keys", {"name": "x"}),
            ),
            ("change_key", 409, "key_not_active", live.change(f"/v1/keys/{revoked.id}", {})),
        ]:
            with self.subTest(name):
                said, told = self.shown(answer)["error"], self.example(operation_id, status, name)
                self.assertEqual({**said, "request_id": REQUEST_ID}, told["error"])
