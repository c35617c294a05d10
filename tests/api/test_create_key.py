"""Tests of `POST /v1/keys`: it makes the key asked for, or refuses and makes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import time_machine

from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from tests.support.cast import ApiTestCase
from web.errors.refusals import ParameterInvalid
from web.input.moments import parse_moment

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
BAD_OFFSETS = ("+00:60", "+05:99", "-22:99", "+24:00", "+23:60", "-24:00")
DOCUMENTED = [
    "id",
    "object",
    "name",
    "key",
    "key_hint",
    "scopes",
    "created_at",
    "expires_at",
    "livemode",
]


@time_machine.travel(NOW, tick=False)
class CreateKeyTests(ApiTestCase):
    def test_create_answers_the_documented_fields_in_order(self):
        _, client = self.issue()

        response = client.send(
            "/v1/keys", {"name": "CI/CD Pipeline", "scopes": ["tests:read", "tests:write"]}
        )

        self.assertEqual(response.status_code, 201)
        answer = response.json()
        self.assertEqual(list(answer)[: len(DOCUMENTED)], DOCUMENTED)
        self.assertRegex(answer["id"], r"^key_[0-9A-Za-z]{12}$")
        self.assertEqual(answer["object"], "api_key")
        self.assertEqual(answer["name"], "CI/CD Pipeline")
        self.assertRegex(answer["key"], r"^rk_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}$")
        self.assertEqual(answer["key_hint"], "..." + answer["key"][-4:])
        self.assertEqual(answer["scopes"], ["tests:read", "tests:write"])
        self.assertEqual(answer["created_at"], "2026-03-11T10:30:00Z")
        self.assertIsNone(answer["expires_at"])
        self.assertIs(answer["livemode"], True)
        self.assertEqual(response["Cache-Control"], "no-store")

    def test_created_key_works_at_once_with_its_scopes_only(self):
        _, client = self.issue()
        key = client.send("/v1/keys", {"name": "CI", "scopes": ["tests:read"]}).json()["key"]

        response = self.client.get("/v1/auth/me", headers={"Authorization": f"Bearer {key}"})

        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json()["scopes"], ["tests:read"])

    def test_sandbox_key_creates_sandbox_keys_only(self):
        _, client = self.issue(livemode=False)

        answer = client.send("/v1/keys", {"name": "Sandbox"}).json()

        self.assertTrue(answer["key"].startswith("rk_test_"))
        self.assertIs(answer["livemode"], False)
        self.assertRefused(
            client.send("/v1/keys", {"name": "x", "livemode": True}),
            400,
            "parameter_unknown",
            field="livemode",
        )

    def test_create_answers_the_same_object_as_a_later_get(self):
        _, client = self.issue(expires_at=NOW + timedelta(days=9), allowed_ips=["127.0.0.0/8"])
        every: list[dict[str, Any]] = [
            {},
            {"scopes": ["tests:write", "tests:read"], "max_tests_per_month": 5},
            {"expires_at": "2026-03-12T10:30:00.75+01:00", "name": " e\u0301 "},
            {"allowed_ips": ["127.0.0.1", "::ffff:127.0.0.0/120"]},
        ]
        for number, fields in enumerate(every):
            headers: dict[str, str]
            for headers in ({}, {"Idempotency-Key": f"token-{number}"}):
                body = {"name": "x"} | fields
                made = client.send("/v1/keys", body, **headers).json()
                self.assertRegex(made.pop("key"), made["secrets"][0]["locator"])
                self.assertEqual(made, client.get(f"/v1/keys/{made['id']}").json())

    def test_create_without_scopes_grants_all_scopes(self):
        _, client = self.issue()
        answer = client.send("/v1/keys", {"name": "Everything"}).json()
        self.assertEqual(answer["scopes"], list(ALL_SCOPES))

    def test_created_scopes_are_deduplicated_in_the_contracts_order(self):
        _, client = self.issue()
        wanted = ["webhooks:manage", "tests:read", "webhooks:manage", "domains:write"]
        answer = client.send("/v1/keys", {"name": "Mixed", "scopes": wanted}).json()
        self.assertEqual(answer["scopes"], ["tests:read", "domains:write", "webhooks:manage"])

    def test_restricted_key_cannot_create_a_key(self):
        client = self.restricted()
        self.assertRefused(client.send("/v1/keys", {"name": "More"}), 403, "insufficient_scope")
        self.assertEqual(ApiKey.objects.count(), 1)

    def test_created_name_is_trimmed_and_may_be_in_any_script(self):
        _, client = self.issue()
        for sent, stored in [
            ("  CI  ", "CI"),
            ("\n CI\t", "CI"),
            ("Ünïcödé 鍵 🔑", "Ünïcödé 鍵 🔑"),
            ("x" * 100, "x" * 100),
            (" " + "x" * 100 + " ", "x" * 100),
            ("<b>'\";--</b>", "<b>'\";--</b>"),
        ]:
            with self.subTest(sent):
                response = client.send("/v1/keys", {"name": sent})
                self.assertEqual(response.status_code, 201)
                self.assertEqual(response.json()["name"], stored)


@time_machine.travel(NOW, tick=False)
class ExpiryTests(ApiTestCase):
    def test_created_expiry_is_answered_in_utc_and_whole_seconds(self):
        _, client = self.issue()
        for sent, answered in [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2027-01-01T02:00:00+02:00", "2027-01-01T00:00:00Z"),
            ("2027-01-01t00:00:00.987654321z", "2027-01-01T00:00:00Z"),
            ("2026-03-11T10:30:01Z", "2026-03-11T10:30:01Z"),
            ("2036-03-11T10:30:00Z", "2036-03-11T10:30:00Z"),
        ]:
            with self.subTest(sent):
                response = client.send("/v1/keys", {"name": "x", "expires_at": sent})
                self.assertEqual(response.status_code, 201, response.content)
                self.assertEqual(response.json()["expires_at"], answered)

    def test_create_without_expiry_never_expires_if_the_caller_never_does(self):
        _, client = self.issue()
        self.assertIsNone(client.send("/v1/keys", {"name": "x"}).json()["expires_at"])
        answer = client.send("/v1/keys", {"name": "x", "expires_at": None}).json()
        self.assertIsNone(answer["expires_at"])

    def test_create_without_expiry_inherits_the_callers_expiry(self):
        _, client = self.issue(expires_at=NOW + timedelta(days=1))
        answer = client.send("/v1/keys", {"name": "x"}).json()
        self.assertEqual(answer["expires_at"], "2026-03-12T10:30:00Z")

    def test_create_with_an_expiry_after_the_callers_is_refused(self):
        _, client = self.issue(expires_at=NOW + timedelta(days=1))
        for sent in ("2026-03-12T10:30:01Z", None):
            with self.subTest(sent):
                response = client.send("/v1/keys", {"name": "x", "expires_at": sent})
                error = self.assertRefused(response, 403, "exceeds_caller", field="expires_at")
                self.assertIn("2026-03-12T10:30:00Z", error["message"])
                self.assertNothingWritten(response)
        own_end = {"name": "x", "expires_at": "2026-03-12T10:30:00Z"}
        self.assertEqual(client.send("/v1/keys", own_end).status_code, 201)

    def test_create_with_an_expiry_past_or_beyond_ten_years_is_refused(self):
        _, client = self.issue()
        for sent in [
            "2026-03-11T10:30:00Z",
            "2020-01-01T00:00:00Z",
            "2036-03-11T10:30:01Z",
            "9999-12-31T23:59:59Z",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-01-01 00:00:00Z",
            "20270101T000000Z",
            "2027-W01-1T00:00:00Z",
            "2027-02-30T00:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-01-01T00:00:60Z",
            "2027-01-01T00:00Z",
            "2027-01-01T00:00:00+99:00",
            *(f"2027-01-01T00:00:00{offset}" for offset in BAD_OFFSETS),
            "2027-01-01T00:00:00." + "9" * 1000 + "Z",
            "２０２７-01-01T00:00:00Z",
            "tomorrow",
            "",
            1798761600,
            True,
            ["2027-01-01T00:00:00Z"],
            {},
        ]:
            with self.subTest(sent):
                response = client.send("/v1/keys", {"name": "x", "expires_at": sent})
                self.assertRefused(response, 400, "parameter_invalid", field="expires_at")
                self.assertNothingWritten(response)

    def test_time_or_offset_outside_rfc_3339_is_refused_even_if_python_parses_it(self):
        """From Python 3.14 on, `fromisoformat` takes 24:00, too."""
        lenient = mock.Mock(fromisoformat=lambda _: NOW)
        with mock.patch("web.input.moments.datetime", lenient):
            self.assertEqual(parse_moment("2027-01-01T23:59:59+23:59", field="f"), NOW)
            for text in (
                *(f"2027-01-01T00:00:00{offset}" for offset in BAD_OFFSETS),
                *(f"2027-01-01T{time}Z" for time in ("24:00:00", "23:60:00", "23:59:60")),
            ):
                with self.subTest(text), self.assertRaises(ParameterInvalid):
                    parse_moment(text, field="f")


class BadFieldTests(ApiTestCase):
    def test_create_refuses_a_name_that_is_not_one_line_of_text(self):
        _, client = self.issue()
        for name in [
            "",
            "   ",
            "\u200b",
            "\u3164",
            "\u2800",
            "a\uffff",
            "x" * 101,
            "a\nb",
            "a\x00b",
            "a\x7fb",
            "a\u2028b",
            "evil\u202egnp",
            "\ud800",
            5,
            1.5,
            True,
            None,
            ["CI"],
            {"a": 1},
        ]:
            with self.subTest(repr(name)):
                response = client.send("/v1/keys", {"name": name})
                self.assertRefused(response, 400, "parameter_invalid", field="name")
                self.assertNothingWritten(response)

    def test_create_refuses_scopes_that_are_not_a_list_of_known_ones(self):
        _, client = self.issue()
        for scopes in [
            [],
            None,
            "tests:read",
            ["tests:delete"],
            ["tests:read", "admin"],
            ["TESTS:READ"],
            ["tests:read "],
            ["*"],
            [""],
            [None],
            [["tests:read"]],
            [5],
            {"tests:read": True},
            5,
        ]:
            with self.subTest(repr(scopes)):
                response = client.send("/v1/keys", {"name": "x", "scopes": scopes})
                self.assertRefused(response, 400, "parameter_invalid", field="scopes")
                self.assertNothingWritten(response)

    def test_create_with_a_misspelt_scope_suggests_the_right_one(self):
        _, client = self.issue()
        response = client.send("/v1/keys", {"name": "x", "scopes": ["tests:raed"]})
        error = self.assertRefused(response, 400, "parameter_invalid", field="scopes")
        self.assertIn("Did you mean tests:read?", error["message"])

    def test_create_without_a_name_is_missing_required_field(self):
        _, client = self.issue()
        for body in ({}, {"scopes": ["tests:read"]}):
            response = client.send("/v1/keys", body)
            self.assertRefused(response, 400, "missing_required_field", field="name")
            self.assertNothingWritten(response)

    def test_create_with_an_unknown_field_names_it_and_suggests_the_right_one(self):
        _, client = self.issue()
        response = client.send("/v1/keys", {"name": "x", "scope": ["tests:read"]})
        error = self.assertRefused(response, 400, "parameter_unknown", field="scope")
        self.assertIn("Did you mean scopes?", error["message"])
        self.assertNothingWritten(response)

        response = client.send("/v1/keys", {"name": "x", "organization": self.globex.id})
        error = self.assertRefused(response, 400, "parameter_unknown", field="organization")
        self.assertNotIn("Did you mean", error["message"])

    def test_create_refuses_every_internal_column_as_a_field(self):
        _, client = self.issue()
        for field in ("id", "livemode", "created_at", "created_by", "revoked_at", "key", "object"):
            with self.subTest(field):
                response = client.send("/v1/keys", {"name": "x", field: "key_000000000000"})
                self.assertRefused(response, 400, "parameter_unknown", field=field)

    def test_create_refuses_a_name_holding_most_of_a_key_spaced_or_encoded(self):
        _, client = self.issue()
        key = client.key
        for name in [
            key[:-1],
            key[:-6],
            key[:-20],
            f"{key[:30]} {key[30:]}",
            f"{key[:30]}\u200b{key[30:]}",
            f"{key[:30]} {key[30:]}".replace("_", "%5F"),
            key.replace("_", "%255f"),
        ]:
            with self.subTest(name):
                response = client.send("/v1/keys", {"name": name})
                self.assertRefused(response, 400, "contains_api_key", field="name")
        for name in ("rk_live_3iS8wW2x_…", "rk_live_", "rk_live_frontend_website", key[8:16]):
            with self.subTest(name):
                self.assertEqual(client.send("/v1/keys", {"name": name}).status_code, 201)

    def test_create_refuses_a_key_in_any_text_and_does_not_repeat_it(self):
        _, client = self.issue()
        for body in (
            {"name": f"old: {client.key}"},
            {"name": "x", client.key: 1},
            {"name": "x", "scopes": [client.key]},
        ):
            response = client.send("/v1/keys", body)
            self.assertEqual(response.status_code, 400)
            self.assertNotIn(client.key[-30:], response.content.decode())
        response = client.send("/v1/keys", {"name": f"old: {client.key}"})
        self.assertRefused(response, 400, "contains_api_key", field="name")

    def test_create_with_an_unknown_query_parameter_is_refused(self):
        _, client = self.issue()
        response = client.send("/v1/keys?expand=key_data", {"name": "x"})
        self.assertRefused(response, 400, "parameter_unknown", field="expand")
        self.assertNothingWritten(response)
