"""Tests of the filters of `GET /v1/keys`: combined with AND, and refused if malformed."""

from datetime import UTC, datetime, timedelta

import time_machine

from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from tests.support.cast import ApiClient, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class FilterTestCase(ApiTestCase):
    def assertFinds(self, client: ApiClient, query: str, *expected: str) -> None:
        response = client.get(f"/v1/keys?{query}")
        self.assertEqual(response.status_code, 200, response.content)
        names = [key["name"] for key in response.json()["data"]]
        self.assertCountEqual(names, expected, query)


@time_machine.travel(NOW, tick=False)
class StatusAndScopeTests(FilterTestCase):
    def setUp(self) -> None:
        self.api = self.issue(name="caller")[1]
        self.issue(name="reader", scopes=["tests:read", "domains:read"])
        gone, _ = self.issue(name="gone", scopes=["tests:read"])
        self.api.delete(f"/v1/keys/{gone.id}")
        self.issue(name="over", expires_at=NOW + DAY, scopes=["domains:read"])
        both, _ = self.issue(name="both", expires_at=NOW + DAY, scopes=["domains:read"])
        self.api.delete(f"/v1/keys/{both.id}")
        self.issue(name="later", expires_at=NOW + 2 * DAY)

    def test_status_filter_divides_keys_into_active_expired_and_revoked(self):
        with time_machine.travel(NOW + DAY, tick=False):
            for status, names in [
                ("active", ["caller", "reader", "later"]),
                ("expired", ["over"]),
                ("revoked", ["gone", "both"]),
            ]:
                self.assertFinds(self.api, f"status={status}", *names)
                page = self.api.get(f"/v1/keys?status={status}").json()["data"]
                self.assertEqual({key["status"] for key in page}, {status})

    def test_status_filter_calls_a_key_expired_from_its_exact_end_on(self):
        with time_machine.travel(NOW + DAY - timedelta(microseconds=1), tick=False):
            self.assertFinds(self.api, "status=expired")

    def test_scope_filter_finds_keys_holding_the_scope_among_others(self):
        self.assertFinds(self.api, "scope=tests:read", "caller", "reader", "gone", "later")
        self.assertFinds(self.api, "scope=billing:manage", "caller", "later")

    def test_key_filters_are_combined_with_and(self):
        self.assertFinds(self.api, "scope=tests:read&status=active", "caller", "reader", "later")
        self.assertFinds(self.api, "scope=tests:read&status=revoked", "gone")
        self.assertFinds(self.api, "scope=tests:read&status=active&name=AD", "reader")
        self.assertFinds(self.api, "status=active&expires_within_days=2&name=late", "later")
        self.assertFinds(self.api, "status=revoked&scope=billing:manage")

    def test_filtered_key_list_can_be_paged_by_cursor(self):
        found: list[str] = []
        query = "status=active&limit=1"
        more = True
        while more:
            page = self.api.get(f"/v1/keys?{query}").json()
            more = page["has_more"]
            found += [key["id"] for key in page["data"]]
            query = f"status=active&limit=1&starting_after={found[-1]}"
        expected = ApiKey.objects.filter(revoked_at=None).values_list("id", flat=True)
        self.assertEqual(found, list(expected))


@time_machine.travel(NOW, tick=False)
class TimeTests(FilterTestCase):
    def test_unused_for_days_finds_old_enough_keys_without_recent_use(self):
        _, api = self.issue(name="caller")
        self.issue(name="never used")
        _, old = self.issue(name="used at once")
        old.get("/v1/auth/me")
        with time_machine.travel(NOW + 5 * DAY, tick=False):
            self.issue(name="young")
            _, late = self.issue(name="used lately")
            ApiKey.objects.filter(name="used lately").update(created_at=NOW)
            late.get("/v1/auth/me")
        with time_machine.travel(NOW + 10 * DAY, tick=False):
            for days, names in [
                (4, ["never used", "used at once", "young", "used lately"]),
                (5, ["never used", "used at once", "young", "used lately"]),
                (6, ["never used", "used at once"]),
                (10, ["never used", "used at once"]),
                (11, []),
            ]:
                with self.subTest(days):
                    self.assertFinds(api, f"unused_for_days={days}", *names)

    def test_unused_for_days_counts_the_use_of_any_secret(self):
        _, api = self.issue(name="caller")
        rotated, old = self.issue(name="rotated")
        new = self.rotate(api, rotated, overlap_seconds=604800)
        with time_machine.travel(NOW + 3 * DAY, tick=False):
            old.get("/v1/auth/me")
        with time_machine.travel(NOW + 5 * DAY, tick=False):
            self.assertFinds(api, "unused_for_days=3")
            self.assertFinds(api, "unused_for_days=2", "rotated")
            new.get("/v1/auth/me")
            self.assertFinds(api, "unused_for_days=2")

    def test_expires_within_days_finds_keys_ending_in_the_future_only(self):
        _, api = self.issue(name="caller")
        for name, end in [("1", DAY), ("2", 2 * DAY), ("2+", 2 * DAY + timedelta(seconds=1))]:
            self.issue(name=name, expires_at=NOW + end)
        self.assertFinds(api, "expires_within_days=1", "1")
        self.assertFinds(api, "expires_within_days=2", "1", "2")
        self.assertFinds(api, "expires_within_days=3650", "1", "2", "2+")
        with time_machine.travel(NOW + DAY, tick=False):
            self.assertFinds(api, "expires_within_days=1", "2")


class NameTests(FilterTestCase):
    def test_name_filter_matches_any_part_literally_in_any_case(self):
        _, api = self.issue(name="Release %_ bot")
        self.issue(name="ÜBERSICHT 鍵 🔑")
        self.issue(name='O\'Brien \\ "x"')
        for part, names in [
            ("release", ["Release %_ bot"]),
            ("BOT", ["Release %_ bot"]),
            (" bot ", ["Release %_ bot"]),
            ("%25", ["Release %_ bot"]),
            ("_", ["Release %_ bot"]),
            ("R%25t", []),
            ("übersicht", ["ÜBERSICHT 鍵 🔑"]),
            ("鍵", ["ÜBERSICHT 鍵 🔑"]),
            ("🔑", ["ÜBERSICHT 鍵 🔑"]),
            ("o'b", ['O\'Brien \\ "x"']),
            ("\\", ['O\'Brien \\ "x"']),
            ("x' OR '1'='1", []),
            ("x" * 100, []),
        ]:
            with self.subTest(part):
                self.assertFinds(api, f"name={part}", *names)


class BadParameterTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue()[1]

    def test_invalid_filter_value_is_refused_with_its_parameter(self):
        days = ["0", "3651", "-1", "1.5", "", "a", "1e3", "٣", "9" * 30, "%00", "30d"]
        for name, values in {
            "status": ["", "Active", "ACTIVE", "live", "active,revoked", "%00", "active%0A"],
            "scope": ["", "tests", "tests:*", "TESTS:READ", "tests:read,tests:write", "%00"],
            "unused_for_days": days,
            "expires_within_days": days,
            "name": ["", "%20", "%00", "a%0Ab", "x" * 101, "%E2%80%8B", "%E2%80%AEx"],
        }.items():
            for value in values:
                with self.subTest(f"{name}={value[:40]}"):
                    response = self.api.get(f"/v1/keys?{name}={value}")
                    self.assertRefused(response, 400, "parameter_invalid", field=name)

    def test_bounds_of_the_day_filters_are_inclusive(self):
        for query in ("unused_for_days=1", "unused_for_days=3650", "expires_within_days=3650"):
            self.assertEqual(self.api.get(f"/v1/keys?{query}").status_code, 200)

    def test_query_that_is_not_utf_8_is_refused_and_does_nothing(self):
        api_key, _ = self.issue()
        for url, field in (
            ("/v1/keys?limit=5&name=%FF%ED%A0%80", "name"),
            ("/v1/keys?name=caf\xe9", "name"),  # Raw bytes, as a server hands them over.
            ("/v1/keys?%E4=1", "\ufffd"),
            ("/v1/auth/me?require=%E4", "require"),
        ):
            with self.subTest(url):
                path, _, query = url.partition("?")
                response = self.api.get(path, QUERY_STRING=query)
                self.assertRefused(response, 400, "parameter_invalid", field=field)
        url = f"/v1/keys/{api_key.id}?reason=Gesch%E4ft"
        self.assertRefused(self.api.delete(url), 400, "parameter_invalid", field="reason")
        api_key.refresh_from_db()
        self.assertIsNone(api_key.revoked_at)
        self.api.delete(f"/v1/keys/{api_key.id}", QUERY_STRING="reason=Gesch\xc3\xa4ft+%26+more")
        api_key.refresh_from_db()
        self.assertEqual(api_key.revoked_reason, "Geschäft & more")

    def test_misspelt_filter_value_suggests_the_right_one(self):
        for query, meant in [("status=Active", "active"), ("scope=test:read", "tests:read")]:
            error = self.api.get(f"/v1/keys?{query}").json()["error"]
            self.assertIn(f"Did you mean {meant}?", error["message"])

    def test_unknown_list_parameter_is_refused_and_suggests_the_right_one(self):
        for query, field, meant in [
            ("stauts=active", "stauts", "status"),
            ("Limit=5", "Limit", "limit"),
            ("start_after=x", "start_after", "starting_after"),
            ("scopes=tests:read", "scopes", "scope"),
            ("page=2", "page", None),
            ("=", "", None),
            ("limit%00=5", "limit", "limit"),
        ]:
            with self.subTest(query):
                response = self.api.get(f"/v1/keys?{query}")
                if field:
                    error = self.assertRefused(response, 400, "parameter_unknown", field=field)
                else:
                    self.assertEqual(response.status_code, 400)
                    error = response.json()["error"]
                if meant:
                    self.assertIn(f"Did you mean {meant}?", error["message"])
                else:
                    self.assertNotIn("Did you mean", error["message"])

    def test_repeated_parameter_is_refused_even_with_the_same_value(self):
        for query, field in [
            ("limit=5&limit=5", "limit"),
            ("status=active&name=x&status=revoked", "status"),
            ("scope=tests:read&scope=tests:write", "scope"),
        ]:
            with self.subTest(query):
                response = self.api.get(f"/v1/keys?{query}")
                self.assertRefused(response, 400, "parameter_invalid", field=field)

    def test_authentication_comes_before_reading_the_query(self):
        self.assertRefused(self.client.get("/v1/keys?limit=0"), 401, "api_key_missing")

    def test_endpoint_without_parameters_refuses_any(self):
        api_key, _ = self.issue(scopes=list(ALL_SCOPES[:1]))
        path = f"/v1/keys/{api_key.id}"
        for response in [
            self.api.get(f"{path}?limit=1"),
            self.api.patch(f"{path}?limit=1", {}, content_type="application/json"),
            self.api.send(f"{path}/rotate?limit=1", {}),
            self.api.send(f"{path}/finish_rotation?limit=1", {}),
            self.api.delete(f"{path}?limit=1"),
            self.api.get("/v1/auth/me?limit=1"),
        ]:
            self.assertRefused(response, 400, "parameter_unknown", field="limit")
        self.assertEqual(self.actions(api_key), ["issued"])
