"""Tests of the OpenAPI document and the docs pages: they say what the API does."""

import html
import re
from typing import Any

import jsonschema
from django.conf import settings
from django.test import Client

from apikeys.scopes import Scope
from tests.support.cast import ApiTestCase
from web.errors.catalogue import CATALOGUE


class OpenApiTests(ApiTestCase):
    def setUp(self) -> None:
        self.document = Client().get("/v1/openapi.json").json()

    def operation(self, method: str, path: str) -> dict[str, Any]:
        operation: dict[str, Any] = self.document["paths"][path][method]
        return operation

    def test_openapi_document_is_public_version_3_1_and_lists_every_operation(self):
        response = Client().get("/v1/openapi.json")
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response["Content-Type"], "application/json")
        self.assertTrue(self.document["openapi"].startswith("3.1"))
        self.assertEqual(
            {path: list(methods) for path, methods in self.document["paths"].items()},
            {
                "/v1/keys": ["get", "post"],
                "/v1/keys/{key_id}": ["get", "patch", "delete"],
                "/v1/keys/{key_id}/rotate": ["post"],
                "/v1/keys/{key_id}/finish_rotation": ["post"],
                "/v1/keys/{key_id}/events": ["get"],
                "/v1/keys/{key_id}/usage": ["get"],
                "/v1/usage": ["get"],
                "/v1/auth/me": ["get"],
            },
        )

    def test_openapi_operations_take_a_bearer_key(self):
        (name,) = self.document["components"]["securitySchemes"]
        self.assertEqual(self.document["components"]["securitySchemes"][name]["scheme"], "bearer")
        for method, path in (("post", "/v1/keys"), ("get", "/v1/auth/me")):
            self.assertEqual(self.operation(method, path)["security"], [{name: []}])

    def test_openapi_operations_name_their_answers_headers_and_the_sandbox_header(self):
        window = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                with self.subTest(f"{method} {path}"):
                    sent = {p["name"] for p in operation["parameters"] if p["in"] == "header"}
                    self.assertIn("ReachScore-Simulate", sent)
                    headers = {
                        status: set(response["headers"])
                        for status, response in operation["responses"].items()
                    }
                    for names in headers.values():
                        self.assertLessEqual({"Request-Id", *window}, names)
                    for name, statuses in {
                        "Retry-After": {"409", "429", "503"},
                        "Allow": {"405"},
                        "WWW-Authenticate": {"401", "403"},
                    }.items():
                        found = {status for status, names in headers.items() if name in names}
                        self.assertEqual(found, statuses & set(headers))

    def test_openapi_examples_fit_their_schemas(self):
        for methods in self.document["paths"].values():
            for operation in methods.values():
                contents = [r["content"] for r in operation["responses"].values()]
                contents.append(operation.get("requestBody", {}).get("content", {}))
                for content in contents:
                    for media in content.values():
                        validator = jsonschema.Draft202012Validator(
                            {**self.document, **media["schema"]}
                        )
                        self.assertTrue(media["examples"])
                        for example in media["examples"].values():
                            validator.validate(example["value"])

    def test_openapi_request_schema_refuses_what_the_api_refuses(self):
        schema = self.operation("post", "/v1/keys")["requestBody"]["content"]["application/json"]
        validator = jsonschema.Draft202012Validator({**self.document, **schema["schema"]})
        for body, valid in [
            ({"name": "x"}, True),
            ({"name": "x", "expires_at": None}, True),
            ({}, False),
            ({"name": ""}, False),
            ({"name": "x" * 101}, False),
            ({"name": " " + "x" * 100 + " "}, True),
            ({"name": " " * 5}, False),
            ({"name": "a\nb"}, False),
            ({"name": 5}, False),
            ({"name": "x", "scopes": []}, False),
            ({"name": "x", "scopes": None}, False),
            ({"name": "x", "scopes": ["tests:delete"]}, False),
            ({"name": "x", "scope": ["tests:read"]}, False),
        ]:
            with self.subTest(body):
                self.assertEqual(validator.is_valid(body), valid)

    def test_openapi_document_describes_every_scope(self):
        text = str(self.document)
        for scope in Scope:
            self.assertIn(f"`{scope.value}` {scope.label.lower()}", text)

    def test_openapi_responses_name_the_request_id_and_401_and_403_the_challenge(self):
        for methods in self.document["paths"].values():
            for operation in methods.values():
                for status, response in operation["responses"].items():
                    self.assertIn("Request-Id", response["headers"])
                    self.assertEqual(
                        "WWW-Authenticate" in response["headers"], status in ("401", "403")
                    )


class PageTests(ApiTestCase):
    def test_error_page_has_an_anchor_and_a_fix_for_every_code(self):
        page = html.unescape(Client().get("/docs/errors").content.decode())
        for code, problem in CATALOGUE.items():
            self.assertIn(f'id="{code}"', page)
            self.assertIn(problem.fix, page)

    def test_error_doc_url_points_at_the_codes_anchor(self):
        error = Client().get("/v1/auth/me").json()["error"]
        page = f"{settings.PUBLIC_URL}/docs/errors"
        self.assertEqual(error["doc_url"], f"{page}#api_key_missing")

    def test_home_page_links_to_docs_admin_and_the_first_request(self):
        page = Client().get("/").content.decode()
        for path in ("/docs", "/docs/errors", "/v1/openapi.json", "/admin/", "/v1/auth/me"):
            self.assertIn(path, page)

    def test_page_loads_nothing_from_another_origin(self):
        for path in ("/", "/docs", "/docs/reference", "/docs/errors"):
            page = Client().get(path).content.decode()
            loaded = re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["']([^"']+)""", page)
            self.assertTrue(loaded)
            for address in loaded:
                self.assertTrue(address.startswith(("/", "data:")), address)

    def test_api_reference_refuses_post_and_options(self):
        for method in ("options", "post"):
            self.assertEqual(getattr(Client(), method)("/docs/reference").status_code, 405)

    def test_swagger_loads_this_services_document(self):
        page = Client().get("/docs/reference").content.decode()
        script = re.search(r'<script src="(/docs/reference\?script[^"]*)"', page)
        self.assertIsNotNone(script)
        self.assertIn("/v1/openapi.json", Client().get("/docs/reference?script").content.decode())
