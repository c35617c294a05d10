"""Tests of `GET /v1/auth/me?require=…`: it says if the key holds these scopes, always with 200."""

from apikeys.scopes import ALL_SCOPES
from tests.support.cast import ApiTestCase


class RequireTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue(scopes=["tests:read", "domains:read"])[1]

    def test_require_adds_allowed_and_missing_to_auth_me(self):
        for require, missing in [
            ("tests:read", []),
            ("tests:read,domains:read", []),
            ("tests:write", ["tests:write"]),
            ("tests:write,domains:read", ["tests:write"]),
            ("webhooks:manage,tests:read,tests:write", ["tests:write", "webhooks:manage"]),
            ("tests:write,tests:write,tests:read", ["tests:write"]),
            (
                ",".join(ALL_SCOPES),
                [s for s in ALL_SCOPES if s not in ("tests:read", "domains:read")],
            ),
        ]:
            with self.subTest(require):
                response = self.api.get(f"/v1/auth/me?require={require}")
                self.assertEqual(response.status_code, 200)
                plain = self.api.get("/v1/auth/me").json()
                answer = {"allowed": not missing, "missing": missing}
                self.assertEqual(response.json(), plain | answer)
                self.assertEqual(list(response.json()), [*plain, "allowed", "missing"])

    def test_require_of_all_scopes_is_allowed_for_an_unrestricted_key(self):
        _, client = self.issue()
        answer = client.get(f"/v1/auth/me?require={','.join(ALL_SCOPES)}").json()
        self.assertEqual((answer["allowed"], answer["missing"]), (True, []))

    def test_require_takes_encoded_commas_and_colons(self):
        answer = self.api.get("/v1/auth/me?require=tests%3Aread%2Ctests%3Awrite").json()
        self.assertEqual(answer["missing"], ["tests:write"])

    def test_require_costs_no_further_query(self):
        self.api.get("/v1/auth/me")
        with self.assertNumQueries(1):
            self.api.get("/v1/auth/me?require=tests:write")

    def test_require_of_an_unknown_scope_is_refused(self):
        for require in [
            "", ",", "tests:read,", ",tests:read", "tests", "tests:*", "*", "tests:delete",
            "TESTS:READ", "tests:read;tests:write", "tests:read%20tests:write",
            "tests:read,%20domains:read", "%00", "tests:read%0A", "x" * 5000, "null",
        ]:  # fmt: skip
            with self.subTest(require[:40]):
                response = self.api.get(f"/v1/auth/me?require={require}")
                self.assertRefused(response, 400, "parameter_invalid", field="require")

    def test_require_misspelt_suggests_the_right_scope_or_parameter(self):
        error = self.api.get("/v1/auth/me?require=test:write").json()["error"]
        self.assertIn("Did you mean tests:write?", error["message"])
        response = self.api.get("/v1/auth/me?requires=tests:write")
        error = self.assertRefused(response, 400, "parameter_unknown", field="requires")
        self.assertIn("Did you mean require?", error["message"])

    def test_require_given_twice_is_refused(self):
        response = self.api.get("/v1/auth/me?require=tests:read&require=tests:write")
        self.assertRefused(response, 400, "parameter_invalid", field="require")

    def test_require_without_a_key_is_api_key_missing(self):
        response = self.client.get("/v1/auth/me?require=tests:read")
        self.assertRefused(response, 401, "api_key_missing")
