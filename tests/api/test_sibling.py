"""Tests of a sibling service: authentication, scopes, modes, quotas and errors from here."""

import re
from io import StringIO

import jsonschema
from django.core.management import call_command
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator

from accounts.models import Meter, Usage
from apikeys.scopes import ALL_SCOPES, Scope
from audit.actor import Actor
from tests.sibling.models import Domain, EmailTest
from tests.sibling.sending import outbox
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.demo_server import ROOT
from tests.support.openapi import resolved


@override_settings(ROOT_URLCONF="tests.sibling.service")
class SiblingTests(ApiTestCase):
    def setUp(self) -> None:
        outbox.clear()
        self.live = self.issue()[1]
        self.sandbox = self.issue(livemode=False)[1]

    def used(self, meter: Meter, *, livemode: bool = True) -> int:
        found = Usage.objects.filter(organization=self.acme, meter=meter, livemode=livemode)
        return sum(found.values_list("used", flat=True))

    def change_limits(self, **limits: int | None) -> None:
        self.acme.change_plan(actor=Actor.cli(), reason="test", **limits)

    def without(self, scope: Scope) -> ApiClient:
        return self.issue(scopes=[held for held in ALL_SCOPES if held != scope])[1]

    def test_sibling_live_test_runs_and_counts(self):
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.live.send("/v1/tests", {"subject": "Spring sale"})

        self.assertEqual(answer.status_code, 201, answer.content)
        self.assertEqual((answer.json()["status"], answer.json()["livemode"]), ("running", True))
        self.assertEqual(outbox, [answer.json()["id"]])
        usage = self.live.get("/v1/auth/me").json()["usage"]
        self.assertEqual((usage["tests_this_month"], usage["tests_limit"]), (1, 1000))

    def test_sibling_sandbox_test_completes_at_once_sends_nothing_and_counts_apart(self):
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.sandbox.send("/v1/tests", {"subject": "Spring sale"})

        self.assertEqual((answer.json()["status"], answer.json()["score"]), ("completed", 92))
        self.assertEqual(outbox, [])
        self.assertEqual(self.used(Meter.TESTS), 0)
        self.assertEqual(self.sandbox.get("/v1/auth/me").json()["usage"]["tests_this_month"], 1)

    def test_sibling_objects_are_isolated_by_mode_and_organization(self):
        stranger = self.issue(organization=self.globex)[1]
        for client in (self.live, self.sandbox, stranger):
            client.send("/v1/tests", {"subject": "x"})
        for client in (self.live, self.sandbox, stranger):
            self.assertEqual(len(client.get("/v1/tests").json()["data"]), 1)

        domain = self.live.send("/v1/domains", {"name": "example.com"}).json()["id"]
        for client in (self.sandbox, stranger):
            self.assertRefused(client.delete(f"/v1/domains/{domain}"), 404, "resource_not_found")
        self.assertEqual(self.used(Meter.DOMAINS), 1)

    def test_sibling_lists_are_paged(self):
        made = [self.live.send("/v1/tests", {"subject": "x"}).json()["id"] for _ in range(3)]
        first = self.live.get("/v1/tests?limit=2").json()
        second = self.live.get(f"/v1/tests?starting_after={first['data'][-1]['id']}").json()
        self.assertEqual((first["has_more"], second["has_more"]), (True, False))
        seen = {test["id"] for test in first["data"] + second["data"]}
        self.assertEqual(seen, set(made))

    def test_sibling_methods_each_need_their_scope(self):
        subject, name = {"subject": "x"}, {"name": "example.com"}
        reads = self.without(Scope.TESTS_WRITE)
        self.assertEqual(reads.get("/v1/tests").status_code, 200)
        error = self.assertRefused(reads.send("/v1/tests", subject), 403, "insufficient_scope")
        self.assertEqual(error["missing_scopes"], ["tests:write"])
        writes = self.without(Scope.TESTS_READ)
        self.assertEqual(writes.send("/v1/tests", subject).status_code, 201)
        self.assertRefused(writes.get("/v1/tests"), 403, "insufficient_scope")
        no_domains = self.without(Scope.DOMAINS_WRITE)
        self.assertRefused(no_domains.send("/v1/domains", name), 403, "insufficient_scope")
        refused = no_domains.delete("/v1/domains/dom_000000000000")
        self.assertRefused(refused, 403, "insufficient_scope")

    def test_sibling_full_quota_is_refused_with_its_numbers_and_makes_nothing(self):
        self.change_limits(tests_limit=1, domains_limit=1)
        self.live.send("/v1/tests", {"subject": "x"})
        self.live.send("/v1/domains", {"name": "one.example"})
        with self.captureOnCommitCallbacks(execute=True) as calls:
            for path, body, resets in [
                ("/v1/tests", {"subject": "x"}, True),
                ("/v1/domains", {"name": "two.example"}, False),
            ]:
                error = self.assertRefused(self.live.send(path, body), 403, "quota_exceeded")
                self.assertEqual((error["limit"], error["used"]), (1, 1))
                self.assertEqual(error["resets_at"] is not None, resets)
        self.assertEqual(calls, [])
        self.assertEqual((EmailTest.objects.count(), Domain.objects.count()), (1, 1))
        for _ in range(2):
            self.assertEqual(self.sandbox.send("/v1/tests", {"subject": "x"}).status_code, 201)

    def test_sibling_domain_removed_frees_quota_and_one_added_again_uses_none(self):
        self.change_limits(domains_limit=1)
        one = self.live.send("/v1/domains", {"name": "one.example"})
        again = self.live.send("/v1/domains", {"name": "ONE.example"})
        self.assertEqual((one.status_code, again.status_code), (201, 200))
        self.assertEqual(one.json(), again.json())
        removed = self.live.delete(f"/v1/domains/{one.json()['id']}")
        self.assertEqual((removed.status_code, removed.json()), (200, one.json()))
        self.assertEqual(self.live.send("/v1/domains", {"name": "two.example"}).status_code, 201)

    def test_sibling_refused_body_counts_nothing(self):
        for body, code, field in [
            ({}, "missing_required_field", "subject"),
            ({"subject": 5}, "parameter_invalid", "subject"),
            ({"subject": "x", "to": "y"}, "parameter_unknown", "to"),
            ({"subject": self.live.key}, "contains_api_key", "subject"),
        ]:
            self.assertRefused(self.live.send("/v1/tests", body), 400, code, field=field)
        self.assertRefused(
            self.live.get("/v1/tests?page=2"), 400, "parameter_unknown", field="page"
        )
        self.assertRefused(self.live.patch("/v1/tests"), 405, "method_not_allowed")
        self.assertRefused(self.client.get("/v1/tests"), 401, "api_key_missing")
        self.assertEqual(self.used(Meter.TESTS), 0)

    def test_sibling_openapi_document_fits_its_answers(self):
        document = SchemaGenerator(urlconf="tests.sibling.service").get_schema(public=True)
        document = resolved(document, document)
        self.assertIn("/v1/keys", document["paths"])
        self.change_limits(tests_limit=1)
        for method, path, answer in [
            ("post", "/v1/tests", self.live.send("/v1/tests", {"subject": "x"})),
            ("post", "/v1/tests", self.live.send("/v1/tests", {"subject": "x"})),
            ("get", "/v1/tests", self.live.get("/v1/tests")),
            ("post", "/v1/domains", self.sandbox.send("/v1/domains", {"name": "a.example"})),
        ]:
            documented = document["paths"][path][method]["responses"][str(answer.status_code)]
            schema = documented["content"]["application/json"]["schema"]
            jsonschema.Draft202012Validator(schema).validate(answer.json())
            self.assertIn("RateLimit-Limit", documented["headers"])

    def test_sibling_models_match_their_migration(self):
        call_command("makemigrations", "sibling", check=True, dry_run=True, stdout=StringIO())


@override_settings(ROOT_URLCONF="tests.sibling.service")
class SiblingRaceTests(CommittedTestCase):
    def test_sibling_domain_removed_concurrently_frees_quota_once(self):
        client = self.issue()[1]
        for name in ("one.example", "two.example"):
            domain = client.send("/v1/domains", {"name": name}).json()["id"]

        def remove() -> int:
            status: int = ApiClient(client.key).delete(f"/v1/domains/{domain}").status_code
            return status

        self.assertEqual(sorted(in_threads(*[remove] * 4)), [200, 404, 404, 404])
        self.assertEqual(client.get("/v1/auth/me").json()["usage"]["domains"], 1)

    def test_sibling_domain_added_concurrently_is_made_once(self):
        client = self.issue()[1]

        def add() -> int:
            answer = ApiClient(client.key).send("/v1/domains", {"name": "one.example"})
            status: int = answer.status_code
            return status

        self.assertEqual(sorted(in_threads(*[add] * 4)), [200, 200, 200, 201])
        self.assertEqual(client.get("/v1/auth/me").json()["usage"]["domains"], 1)


def test_sibling_guide_shows_this_very_code():
    guide = (ROOT / "docs" / "siblings.md").read_text()
    sibling = [file.read_text() for file in (ROOT / "tests" / "sibling").glob("*.py")]
    shown = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert len(shown) >= 10
    assert [code for code in shown if not any(code in text for text in sibling)] == []
