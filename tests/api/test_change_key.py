"""Tests of `PATCH /v1/keys/{id}`: it sets the fields given, from the next request on."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import time_machine

from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.change import change
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ABSENT = object()
BEFORE: dict[str, Any] = {
    "name": "before",
    "scopes": ["tests:read", "tests:write"],
    "expires_at": "2026-04-01T00:00:00Z",
    "allowed_ips": ["192.0.2.0/24"],
}
VALUES: dict[str, Any] = {
    "name": "after",
    "scopes": ["domains:read"],
    "expires_at": "2026-05-01T00:00:00Z",
    "allowed_ips": ["2001:db8::/32"],
}


def path(api_key: ApiKey) -> str:
    return f"/v1/keys/{api_key.id}"


@time_machine.travel(NOW, tick=False)
class AbsentNullValueTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue()[1]
        self.key, _ = self.issue(**BEFORE | {"expires_at": datetime(2026, 4, 1, tzinfo=UTC)})
        self.row = ApiKey.objects.filter(pk=self.key.pk)
        self.columns = self.row.values(*BEFORE).get()

    def test_patch_tells_absent_null_and_value_apart_for_each_field(self):
        for states in product((ABSENT, None, "value"), repeat=4):
            self.row.update(**self.columns)
            body = {
                name: state and VALUES[name]
                for name, state in zip(VALUES, states, strict=True)
                if state is not ABSENT
            }
            with self.subTest(body):
                response = self.api.change(path(self.key), body)
                not_null = [n for n in ("name", "scopes") if n in body and body[n] is None]
                if not_null:
                    self.assertRefused(response, 400, "parameter_invalid", field=not_null[0])
                    self.assertEqual(self.row.values(*BEFORE).get(), self.columns)
                else:
                    self.assertEqual(response.status_code, 200, response.content)
                    answer = response.json()
                    self.assertEqual({n: answer[n] for n in BEFORE}, BEFORE | body)

    def test_patch_changes_no_other_field(self):
        before = self.api.get(path(self.key)).json()
        answer = self.api.change(path(self.key), VALUES).json()
        self.assertEqual(answer, before | VALUES | {"scope_usage": {"domains:read": None}})
        self.assertEqual(list(answer), list(before))
        self.assertEqual(self.api.get(path(self.key)).json(), answer)

    def test_patch_event_holds_before_and_after_of_the_changed_fields_only(self):
        for body in ({"name": "new"}, VALUES, {"expires_at": None, "allowed_ips": None}):
            before = self.api.get(path(self.key)).json()
            self.api.change(path(self.key), {**body, "scopes": before["scopes"]} | body)
            event = AuditEvent.objects.latest("sequence")
            self.assertEqual(event.action, "api_key.changed")
            self.assertEqual(event.target_id, self.key.id)
            changes = {name: [before[name], value] for name, value in body.items()}
            self.assertEqual(event.changes, changes)

    def test_patch_with_unchanged_values_records_no_event(self):
        whole = {name: self.api.get(path(self.key)).json()[name] for name in BEFORE}
        for body in (
            {},
            whole,
            {"name": "  before "},
            {"scopes": ["tests:write", "tests:read", "tests:write"]},
            {"expires_at": "2026-04-01T02:00:00.5+02:00"},
            {"allowed_ips": ["192.0.2.0/24", "192.0.2.0/24"]},
            {"allowed_ips": ["::ffff:192.0.2.0/120"]},
        ):
            with self.subTest(body):
                response = self.api.change(path(self.key), body)
                self.assertEqual(response.status_code, 200)
                self.assertEqual({n: response.json()[n] for n in BEFORE}, BEFORE)
        self.assertEqual(self.actions(self.key), ["issued"])

    def test_patch_accepts_the_whole_object_of_a_key_whose_end_has_a_fraction(self):
        with time_machine.travel(NOW + timedelta(microseconds=654321), tick=False):
            _, retiring = self.issue(name="retiring")
            retiring_key = ApiKey.objects.get(name="retiring")
            self.rotate(self.api, retiring_key, overlap_seconds=3600)
            child, _ = self.make(retiring)
            whole = {name: self.api.get(path(child)).json()[name] for name in BEFORE}
            self.assertEqual(whole["expires_at"], "2026-03-11T11:30:00Z")
            for _ in range(2):
                self.assertEqual(self.api.change(path(child), whole).status_code, 200)
        self.assertEqual(self.actions(child), ["issued"])

    def test_patch_accepts_allowed_ips_as_answered(self):
        self.api.change(path(self.key), {"allowed_ips": ["::1.2.3.4", "::102:305", "1.2.3.4/32"]})
        shown = self.api.get(path(self.key)).json()["allowed_ips"]
        self.api.change(path(self.key), {"allowed_ips": shown})
        self.api.change(path(self.key), {"allowed_ips": ["::102:304", "::1.2.3.5", "1.2.3.4"]})
        self.assertEqual(self.actions(self.key), ["issued", "changed"])


@time_machine.travel(NOW, tick=False)
class NextRequestTests(ApiTestCase):
    def test_patched_scopes_addresses_and_end_hold_from_the_next_request_on(self):
        _, api = self.issue()
        api_key, client = self.issue()
        for body, status in [
            ({"scopes": ["tests:read"]}, 200),
            ({"allowed_ips": ["192.0.2.0/24"]}, 403),
            ({"allowed_ips": ["127.0.0.0/8"]}, 200),
            ({"allowed_ips": None}, 200),
        ]:
            self.assertEqual(api.change(path(api_key), body).status_code, 200)
            self.assertEqual(client.get("/v1/auth/me").status_code, status)
        self.assertEqual(client.get("/v1/auth/me").json()["scopes"], ["tests:read"])
        self.assertRefused(client.send("/v1/keys", {"name": "x"}), 403, "insufficient_scope")
        api.change(path(api_key), {"expires_at": "2026-03-12T10:30:00Z"})
        with time_machine.travel(NOW + DAY, tick=False):
            self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_expired")

    def test_patched_name_shows_in_auth_me(self):
        api_key, api = self.issue()
        api.change(path(api_key), {"name": "renamed"})
        self.assertEqual(api.get("/v1/auth/me").json()["key_name"], "renamed")

    def test_patch_of_an_inactive_key_is_refused_and_changes_nothing(self):
        _, api = self.issue()
        revoked, _ = self.issue()
        api.delete(path(revoked))
        expired, _ = self.issue(expires_at=NOW + timedelta(seconds=1))
        with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
            for api_key in (revoked, expired):
                for body in ({"name": "x"}, {"expires_at": None}, {"name": api_key.name}, {}):
                    before = api.get(path(api_key)).json()
                    response = api.change(path(api_key), body)
                    error = self.assertRefused(response, 409, "key_not_active")
                    self.assertIn(before["status"], error["message"])
                    self.assertEqual(api.get(path(api_key)).json(), before)
        self.assertEqual(self.actions(expired), ["issued"])


class BadChangeTests(ApiTestCase):
    def setUp(self) -> None:
        self.key, self.api = self.issue()
        self.before = self.api.get(path(self.key)).json()

    def tearDown(self) -> None:
        after = self.api.get(path(self.key)).json()
        volatile = {"last_used_at": None, "secrets": None, "scope_usage": None}
        self.assertEqual(after | volatile, self.before | volatile)
        self.assertEqual(self.actions(self.key), ["issued"])

    def test_patch_refuses_unknown_and_read_only_fields(self):
        shown = self.api.get(path(self.key)).json()
        changeable = (*BEFORE, "max_tests_per_month")
        read_only = {name: value for name, value in shown.items() if name not in changeable}
        self.assertEqual(len(read_only), 13)
        for name, value in [*read_only.items(), ("key", "x"), ("organization", self.globex.id)]:
            with self.subTest(name):
                response = self.api.change(path(self.key), {"name": "x", name: value})
                self.assertRefused(response, 400, "parameter_unknown", field=name)

    def test_patch_with_a_misspelt_field_suggests_the_right_one(self):
        response = self.api.change(path(self.key), {"scope": ["tests:read"]})
        error = self.assertRefused(response, 400, "parameter_unknown", field="scope")
        self.assertIn("Did you mean scopes?", error["message"])

    def test_patch_refuses_the_values_that_creation_refuses(self):
        table: dict[str, list[Any]] = {
            "name": ["", " ", "x" * 101, "a\nb", "a\x00", 5, True, ["x"], {}],
            "scopes": [[], ["x"], [""], [None], "tests:read", {}, 5, ["tests:read", 5]],
            "expires_at": ["", "2020-01-01T00:00:00Z", "2027-01-01", 5, True, [], "9999-12-31"],
            "allowed_ips": [[], [""], ["x"], "192.0.2.1", [5], {}, [None], ["1.2.3.4/8"]],
        }
        for field, values in table.items():
            for value in values:
                with self.subTest(f"{field}={value!r}"):
                    response = self.api.change(path(self.key), {field: value})
                    self.assertRefused(response, 400, "parameter_invalid", field=field)

    def test_patch_refuses_a_name_holding_a_key_and_does_not_repeat_it(self):
        response = self.api.change(path(self.key), {"name": f"old {self.api.key}"})
        self.assertRefused(response, 400, "contains_api_key", field="name")
        self.assertNotIn(self.api.key[-20:], response.content.decode())

    def test_patch_without_an_object_as_body_is_refused(self):
        for body, status in [(b"", 411), (b"[]", 400), (b"null", 400)]:
            response = self.api.patch(path(self.key), body, content_type="application/json")
            self.assertEqual(response.status_code, status, response.content)


@time_machine.travel(NOW, tick=False)
class CeilingTests(ApiTestCase):
    def test_restricted_key_cannot_patch_any_key_nor_itself(self):
        api_key, client = self.issue(scopes=list(ALL_SCOPES[:-1]))
        other, _ = self.issue()
        for target in (api_key, other):
            for body in ({"name": "x"}, {}, {"scopes": ["tests:read"]}):
                response = client.change(path(target), body)
                self.assertRefused(response, 403, "insufficient_scope")
            self.assertEqual(self.actions(target), ["issued"])

    def test_unrestricted_key_may_restrict_itself_and_cannot_undo_it(self):
        api_key, client = self.issue()
        response = client.change(path(api_key), {"scopes": ["tests:read"]})
        self.assertEqual(response.status_code, 200)
        response = client.change(path(api_key), {"scopes": list(ALL_SCOPES)})
        self.assertRefused(response, 403, "insufficient_scope")
        self.assertEqual(client.get("/v1/auth/me").json()["scopes"], ["tests:read"])

    def test_key_cannot_patch_itself_beyond_its_own_limits(self):
        caller, client = self.issue(
            expires_at=NOW + DAY,
            allowed_ips=["127.0.0.0/8", "2001:db8::/32"],
            max_tests_per_month=5,
        )
        table: list[tuple[str, list[Any], Any]] = [
            ("expires_at", [None, "2026-03-12T10:30:01Z"], "2026-03-12T10:29:59Z"),
            ("allowed_ips", [None, ["126.0.0.0/7"], ["::/0"]], ["127.1.0.0/16", "127.0.0.1"]),
            ("max_tests_per_month", [None, 6], 4),
        ]
        own = "2026-03-12T10:30:00Z", "127.0.0.0/8, 2001:db8::/32", "5"
        for (field, wider, narrower), mine in zip(table, own, strict=True):
            for sent in wider:
                with self.subTest(field, sent=sent):
                    response = client.change(path(caller), {field: sent})
                    error = self.assertRefused(response, 403, "exceeds_caller", field=field)
                    self.assertIn(mine, error["message"])
            self.assertEqual(client.change(path(caller), {field: narrower}).status_code, 200)
        self.assertEqual(self.actions(caller), ["issued", "changed", "changed", "changed"])

    def test_staff_may_change_a_key_without_a_ceiling(self):
        api_key, _ = self.issue(scopes=["tests:read"], expires_at=NOW + DAY)
        change(api_key, actor=Actor.staff(self.sam), scopes=list(ALL_SCOPES), expires_at=None)
        api_key.refresh_from_db()
        self.assertEqual((len(api_key.scopes), api_key.expires_at), (8, None))
