"""Tests of `error.errors`: every fault of a request at once, the first where it always stood."""

import random
from typing import Any

from tests.support.cast import Answer, ApiTestCase

UNKNOWN, INVALID = "parameter_unknown", "parameter_invalid"
MISSING, HOLDS_KEY = "missing_required_field", "contains_api_key"


class AllFaultsTests(ApiTestCase):
    def setUp(self) -> None:
        self.api_key, self.api = self.issue()
        self.path = f"/v1/keys/{self.api_key.id}"

    def assertFaults(self, response: Answer, *faults: tuple[str, str]) -> list[dict[str, str]]:
        """Check the whole list; each fault is a code and a field."""
        code, field = faults[0]
        error = self.assertRefused(response, 400, code, field=field)
        errors: list[dict[str, str]] = error["errors"]
        self.assertEqual([(fault["code"], fault["field"]) for fault in errors], list(faults))
        for fault in errors:
            self.assertEqual(list(fault), ["field", "code", "message", "fix"])
            self.assertTrue(fault["message"] and fault["fix"])
        return errors

    def test_every_fault_of_a_body_is_listed_unknown_missing_and_wrong_ones(self):
        far, past = "2099-01-01T00:00:00Z", "2001-01-01T00:00:00Z"
        table: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
            ({}, [(MISSING, "name")]),
            ({"scope": 1}, [(UNKNOWN, "scope"), (MISSING, "name")]),
            (
                {"zzz": 1, "scopes": 5, "yyy": 2, "expires_at": "soon"},
                [(UNKNOWN, "zzz"), (UNKNOWN, "yyy"), (MISSING, "name"), (INVALID, "scopes"),
                 (INVALID, "expires_at")],
            ),
            # What only the verb checks is listed beside a wrong type, after it.
            (
                {"name": " ", "scopes": ["x"], "max_tests_per_month": "5", "expires_at": past},
                [(INVALID, "max_tests_per_month"), (INVALID, "name"), (INVALID, "scopes"),
                 (INVALID, "expires_at")],
            ),
            (
                {"name": f"old {self.api.key}", "allowed_ips": ["x"], "expires_at": far},
                [(HOLDS_KEY, "name"), (INVALID, "allowed_ips"), (INVALID, "expires_at")],
            ),
            # Each wrong item of a list is a fault.
            (
                {"name": "x", "scopes": ["tests:raed", "tests:read", "tests:wirte"],
                 "allowed_ips": ["192.0.2.7/24", "192.0.2.8", "nowhere"]},
                [(INVALID, "scopes")] * 2 + [(INVALID, "allowed_ips")] * 2,
            ),
        ]  # fmt: skip
        for body, faults in table:
            with self.subTest(body):
                self.assertFaults(self.api.send("/v1/keys", body), *faults)
                if {name for _, name in faults} & body.keys():
                    changed = [fault for fault in faults if fault[0] != MISSING]
                    response = self.api.change(self.path, body)
                    self.assertFaults(response, *changed)
                    self.assertNotIn(self.api.key[-20:], response.content.decode())
        self.assertEqual(self.actions(self.api_key), ["issued"])

    def test_every_fault_says_what_is_wrong_and_how_to_mend_it(self):
        body = {"name": "x", "scopes": ["tests:raed"], "allowed_ips": ["192.0.2.7/24", "x"]}
        scopes, network, nowhere = self.assertFaults(
            self.api.send("/v1/keys", body),
            (INVALID, "scopes"), (INVALID, "allowed_ips"), (INVALID, "allowed_ips"),
        )  # fmt: skip
        self.assertIn("Did you mean tests:read?", scopes["message"])
        self.assertIn("“192.0.2.0/24”", network["fix"])
        self.assertIn('"x", which is neither', nowhere["message"])

    def test_bad_idempotency_key_is_listed_beside_the_faults_of_the_body(self):
        header = "Idempotency-Key"
        for body, faults in [
            ({"name": "x"}, [(INVALID, header)]),
            ({"name": ""}, [(INVALID, header), (INVALID, "name")]),
            ({"scope": 1}, [(UNKNOWN, "scope"), (MISSING, "name"), (INVALID, header)]),
        ]:
            with self.subTest(body):
                response = self.api.send("/v1/keys", body, **{header: "x" * 256})
                self.assertFaults(response, *faults)

    def test_every_fault_of_a_query_is_listed(self):
        both = "starting_after=key_000000000000&ending_before=key_000000000000"
        for query, faults in [
            ("zzz=1&limit=0&limit=0&yyy=1",
             [(UNKNOWN, "zzz"), (INVALID, "limit"), (UNKNOWN, "yyy"), (INVALID, "limit")]),
            ("over_privileged=x&limit=x&status=new&scope=nope&name=%00",
             [(INVALID, name) for name in ("limit", "status", "scope", "name", "over_privileged")]),
            (f"{both}&limit=x", [(INVALID, "limit"), (INVALID, "ending_before")]),
            (both, [(INVALID, "ending_before")]),
        ]:  # fmt: skip
            with self.subTest(query):
                self.assertFaults(self.api.get(f"/v1/keys?{query}"), *faults)
        response = self.api.get("/v1/authz/forward?zzz=1&mode=x&yyy=1")
        self.assertFaults(response, (UNKNOWN, "zzz"), (INVALID, "mode"), (UNKNOWN, "yyy"))
        response = self.api.delete(f"{self.path}?cascade=x&reason=%00&why=x")
        self.assertFaults(response, (UNKNOWN, "why"), (INVALID, "cascade"), (INVALID, "reason"))
        self.assertEqual(self.actions(self.api_key), ["issued"])

    def test_list_of_faults_ends_at_twenty(self):
        many = {f"field_{number}": 1 for number in range(3000)}
        unknown = [(UNKNOWN, f"field_{number}") for number in range(20)]
        self.assertFaults(self.api.send("/v1/keys", many), *unknown)
        scopes = [f"scope_{number}" for number in range(3000)]
        body = {"name": "", "scopes": random.sample(scopes, len(scopes)), "max_tests_per_month": ""}
        response = self.api.send("/v1/keys", body)
        errors = self.assertFaults(
            response,
            (INVALID, "max_tests_per_month"),
            (INVALID, "name"),
            *[(INVALID, "scopes")] * 18,
        )
        self.assertIn("scope_0", errors[2]["message"])
        self.assertLess(len(response.content), 10_000)

    def test_errors_are_listed_with_a_400_that_names_a_field_and_with_nothing_else(self):
        _, limited = self.issue(max_tests_per_month=5)
        test_key, sandbox = self.issue(livemode=False)
        for response, status, code, field in [
            (self.api.get("/v1/auth/me?key=x"), 400, "api_key_in_url", "key"),
            (self.api.simulate("parameter_invalid"), 400, "simulate_in_live_mode",
             "ReachScore-Simulate"),
            (sandbox.simulate("parameter_invalid"), 400, INVALID, "name"),
            (sandbox.simulate("invalid_json"), 400, "invalid_json", None),
            (limited.send("/v1/keys", {"name": "x", "max_tests_per_month": 6}), 403,
             "exceeds_caller", "max_tests_per_month"),
            (sandbox.get(self.path), 404, "resource_not_found", None),
            (sandbox.simulate("idempotency_key_reused"), 409, "idempotency_key_reused",
             "Idempotency-Key"),
        ]:  # fmt: skip
            with self.subTest(code):
                error = self.assertRefused(response, status, code, field=field)
                self.assertEqual("errors" in error, status == 400 and field is not None)
        self.assertEqual(self.actions(test_key), ["issued"])
