"""Tests of the OpenAPI document and the docs pages: they say what the API does."""

import html
import json
import re
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import jsonschema
import yaml
from django.conf import settings
from django.test import Client

from accounts.models import Plan
from apikeys.models import KeyStatus
from apikeys.scopes import ALL_SCOPES, Scope
from audit.actor import ActorType
from tests.support.cast import ApiTestCase
from tests.support.demo_server import ROOT
from tests.support.openapi import fetch_document, resolved
from web.errors.catalogue import CATALOGUE
from web.output.pages import openapi_document

PATHS = {
    "/v1/keys": ["post", "get"],
    "/v1/auth/me": ["get"],
    "/v1/usage": ["get"],
    "/v1/keys/{key_id}/usage": ["get"],
    "/v1/keys/{key_id}/rotate": ["post"],
    "/v1/keys/{key_id}/finish_rotation": ["post"],
    "/v1/keys/{key_id}/events": ["get"],
    "/v1/events": ["get"],
    "/v1/keys/{key_id}": ["get", "patch", "delete"],
    "/v1/organization": ["get", "patch"],
    "/v1/revoke_exposed": ["post"],
}


def recorded_actions() -> set[str]:
    """Return the actions of the product that an organization's audit log may have."""
    verbs = "".join(file.read_text() for file in (ROOT / "apikeys" / "verbs").glob("*.py"))
    files = (ROOT / "accounts/models/organization.py", ROOT / "notices/contacts.py")
    organization = "".join(file.read_text() for file in files)
    done = re.findall(r'(?:_set|_switch)\(\s*"(\w+)"|"organization\.(\w+)"', organization)
    return set(re.findall(r'"(api_key\.\w+)"', verbs)) | {
        f"organization.{first or second}" for first, second in [*done, ("contact_changed", "")]
    }  # The last one is of 0.2.


class OpenApiTests(ApiTestCase):
    document: dict[str, Any]
    whole: dict[str, Any]

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.document = fetch_document()
        cls.whole = resolved(cls.document, cls.document)

    def operations(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path, methods in self.whole["paths"].items():
            for method, operation in methods.items():
                yield f"{method} {path}", operation

    def operation(self, method: str, path: str) -> dict[str, Any]:
        operation: dict[str, Any] = self.whole["paths"][path][method]
        return operation

    def test_openapi_document_is_version_3_1_and_lists_operations_from_creation_to_revocation(self):
        self.assertTrue(self.document["openapi"].startswith("3.1"))
        self.assertEqual(
            {path: list(methods) for path, methods in self.document["paths"].items()}, PATHS
        )
        self.assertEqual(list(self.document["paths"]), list(PATHS))

    def test_openapi_document_names_release_server_contact_and_guides(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        self.assertEqual(self.document["info"]["version"], project["version"])
        self.assertEqual(self.document["servers"], [{"url": settings.PUBLIC_URL}])
        self.assertTrue(self.document["info"]["contact"]["url"].startswith(settings.PUBLIC_URL))
        tags = {tag["name"]: tag for tag in self.document["tags"]}
        self.assertEqual({tag for _, each in self.operations() for tag in each["tags"]}, set(tags))
        linked = [self.document, *tags.values()]
        linked += [each for _, each in self.operations() if "externalDocs" in each]
        for each in linked:
            self.assertRegex(each["externalDocs"]["url"], f"^{settings.PUBLIC_URL}/docs")
            page = each["externalDocs"]["url"].removeprefix(settings.PUBLIC_URL)
            with self.subTest(page):
                self.assertEqual(Client().get(page).status_code, 200)
        self.assertTrue(all(tag["description"] for tag in tags.values()))

    def test_openapi_document_takes_at_most_5_kb_an_operation(self):
        size = len(Client().get("/v1/openapi.json").content)
        self.assertLessEqual(size / len(list(self.operations())), 5 * 1024)

    def test_openapi_document_is_public_cached_and_read_by_any_origin(self):
        for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
            with self.subTest(form):
                path = f"/v1/openapi.{form}"
                answer = Client().get(path, headers={"Origin": "https://editor.example"})
                self.assertEqual(answer["Content-Type"], f"application/{form}")
                self.assertEqual(read(answer.content), self.document)
                for tag in (answer["ETag"], f"W/{answer['ETag']}"):
                    same = Client().get(path, headers={"If-None-Match": tag})
                    self.assertEqual((same.status_code, same.content), (304, b""))
                    for response in (answer, same):
                        self.assertEqual(response["Access-Control-Allow-Origin"], "*")
                        self.assertEqual(response["Cache-Control"], "no-cache")
                self.assertEqual(
                    Client().get(path, headers={"If-None-Match": "x"}).status_code, 200
                )

    def test_openapi_document_is_built_by_one_thread_at_a_time_and_once(self):
        """drf-spectacular's first run fails in two threads: a 500 after each start."""
        running: list[int] = []
        most: list[int] = []

        class Generator:
            def get_schema(self, *, public: bool) -> bytes:
                running.append(1)
                most.append(len(running))
                time.sleep(0.05)
                running.pop()
                return b"{}"

        forms: list[Any] = [type("Form", (), {"render": lambda _, made: made}) for _ in range(2)]
        with mock.patch("web.output.pages.SchemaGenerator", Generator), ThreadPoolExecutor(4) as p:
            self.assertEqual([*p.map(openapi_document, [*forms, *forms])], [b"{}"] * 4)
        self.assertEqual(most, [1, 1])

    def test_nothing_but_the_openapi_document_is_read_by_other_origins(self):
        _, client = self.issue()
        for path in ("/v1/keys", "/v1/auth/me", "/v1/openapi.json?x", "/v1/nope", "/docs", "/"):
            response = client.get(path, headers={"Origin": "https://editor.example"})
            self.assertNotIn("Access-Control-Allow-Origin", response, path)

    def test_openapi_operations_but_one_take_a_bearer_key_and_all_have_a_default_response(self):
        (name,) = self.document["components"]["securitySchemes"]
        self.assertEqual(self.document["components"]["securitySchemes"][name]["scheme"], "bearer")
        for title, operation in self.operations():
            with self.subTest(title):
                is_public = title == "post /v1/revoke_exposed"
                self.assertEqual(operation["security"], [] if is_public else [{name: []}])
                schema = operation["responses"]["default"]["content"]["application/json"]["schema"]
                self.assertIn("error", schema["properties"])

    def test_openapi_tells_the_simulate_header_once_in_prose(self):
        self.assertEqual(str(self.document).count("ReachScore-Simulate"), 1)
        self.assertIn("ReachScore-Simulate", self.document["info"]["description"])

    def test_openapi_components_are_named_by_what_they_are(self):
        schemas = set(self.document["components"]["schemas"])
        shadows = {"Error", "Event", "Key", "Secret", "Usage", "PatchedKeyChange", "NoBody"}
        self.assertEqual(schemas & (shadows | {"EventTarget", "Request", "Response"}), set())
        self.assertLessEqual({"ApiError", "AuditEvent", "ApiKey", "ApiKeyUpdate", "Scope"}, schemas)
        for name in ("ApiKeyWithSecret", "RevokedApiKey"):
            base, _ = self.document["components"]["schemas"][name]["allOf"]
            self.assertEqual(base, {"$ref": "#/components/schemas/ApiKey"})
        self.assertNotIn("x-spec-enum-id", str(self.document))

    def test_openapi_growing_sets_are_open_and_list_the_known_values(self):
        schemas = self.whole["components"]["schemas"]
        error = schemas["ApiErrorDetail"]["properties"]
        for schema, known in [
            (error["code"], set(CATALOGUE)),
            (error["type"], {problem.type for problem in CATALOGUE.values()}),
            (error["missing_scopes"]["items"], set(ALL_SCOPES)),
            (schemas["ApiKey"]["properties"]["status"], set(KeyStatus.values)),
            (schemas["ApiKey"]["properties"]["scopes"]["items"], set(ALL_SCOPES)),
            (schemas["AuditEvent"]["properties"]["action"], recorded_actions()),
            (schemas["AuditEventActor"]["properties"]["type"], set(ActorType.values)),
            (schemas["AuditEventTarget"]["properties"]["type"], {"api_key", "organization"}),
            (
                schemas["CallerOrganization"]["properties"]["plan"],
                set(Plan.objects.values_list("slug", flat=True)),
            ),
        ]:
            with self.subTest(min(known)):
                self.assertEqual(schema["type"], "string")
                self.assertNotIn("enum", schema)
                self.assertEqual(set(schema["x-extensible-enum"]), known)
                self.assertEqual(set(re.findall(r"`([\w.:]+)`", schema["description"])), known)

    def test_openapi_bodies_answers_and_parameters_have_examples_that_fit(self):
        for title, operation in self.operations():
            bodies = [*operation["responses"].values(), operation.get("requestBody", {})]
            for media in [media for each in bodies for media in each.get("content", {}).values()]:
                validator = jsonschema.Draft202012Validator(media["schema"])
                for example in media.get("examples", {}).values():
                    validator.validate(example["value"])
            with self.subTest(title):
                success = min(operation["responses"])
                for each in (operation["responses"][success], operation.get("requestBody", {})):
                    for media_type, media in each.get("content", {}).items():
                        self.assertEqual("examples" in media, media_type == "application/json")
            for parameter in operation.get("parameters", []):
                with self.subTest(f"{title} {parameter['name']}"):
                    example = parameter["example"]
                    jsonschema.Draft202012Validator(parameter["schema"]).validate(example)
                    if parameter["name"] in ("starting_after", "ending_before"):
                        kind = "evt_" if "events" in title else "key_"
                        self.assertTrue(example.startswith(kind))

    def test_openapi_request_schema_refuses_what_the_api_refuses(self):
        schema = self.operation("post", "/v1/keys")["requestBody"]["content"]["application/json"]
        validator = jsonschema.Draft202012Validator(schema["schema"])
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

    def test_api_reference_loads_this_services_document_and_sets_no_cookie(self):
        response = Client().get("/docs/reference")
        page = response.content.decode()
        self.assertIn('lang="en"', page)
        self.assertIn('data-document="/v1/openapi.json"', page)
        self.assertIn('href="/docs"', page)
        self.assertNotIn("csrf", page.lower())
        self.assertEqual(len(response.cookies), 0)
