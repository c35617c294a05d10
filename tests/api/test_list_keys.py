"""Tests of `GET /v1/keys`: the caller's keys, newest first, paged without loss or repetition."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.utils import timezone

from apikeys.models import ApiKey
from tests.support.cast import Answer, ApiTestCase

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)


def ids(response: Answer) -> list[str]:
    return [key["id"] for key in response.json()["data"]]


@time_machine.travel(NOW, tick=False)
class ListTests(ApiTestCase):
    def test_key_list_is_an_envelope_of_key_objects(self):
        api_key, client = self.issue()
        client.get("/v1/keys")  # The first use of its scopes shows in the next answer.

        response = client.get("/v1/keys")

        self.assertEqual(response.status_code, 200)
        self.assertEqual(list(response.json()), ["object", "data", "has_more"])
        self.assertEqual(response.json()["object"], "list")
        self.assertIs(response.json()["has_more"], False)
        self.assertEqual(response.json()["data"], [client.get(f"/v1/keys/{api_key.id}").json()])

    def test_key_list_is_newest_first_with_ties_by_descending_id(self):
        old, client = self.issue()
        with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
            new = [self.issue()[0] for _ in range(5)]
            expected = [*sorted((key.id for key in new), reverse=True), old.id]
            self.assertEqual(ids(client.get("/v1/keys")), expected)

    def test_key_list_excludes_other_modes_and_organizations(self):
        mine, client = self.issue()
        other_mode, test_client = self.issue(livemode=False)
        other, stranger = self.issue(organization=self.globex)
        for caller, own in [(client, mine), (test_client, other_mode), (stranger, other)]:
            self.assertEqual(ids(caller.get("/v1/keys")), [own.id])
            self.assertEqual(ids(caller.get("/v1/keys?limit=100&status=active")), [own.id])

    def test_key_list_of_a_restricted_key_holds_itself_only(self):
        _, client = self.issue()
        restricted, narrow = self.issue(scopes=["tests:read"])
        self.assertEqual(len(ids(client.get("/v1/keys"))), 2)
        self.assertEqual(ids(narrow.get("/v1/keys")), [restricted.id])
        self.assertEqual(ids(narrow.get("/v1/keys?scope=tests:write")), [])

    def test_key_list_answers_head_without_a_body(self):
        _, client = self.issue()
        response = client.head("/v1/keys?limit=1")
        self.assertEqual((response.status_code, response.content), (200, b""))
        self.assertEqual(client.head("/v1/keys?limit=0").status_code, 400)


class LimitTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue()[1]
        make_many(self.acme, 110)

    def test_key_list_limit_is_20_by_default_and_at_most_100(self):
        for query, count, more in [
            ("", 20, True),
            ("?limit=1", 1, True),
            ("?limit=100", 100, True),
            ("?limit=007", 7, True),
        ]:
            with self.subTest(query):
                response = self.api.get(f"/v1/keys{query}")
                self.assertEqual(len(ids(response)), count)
                self.assertIs(response.json()["has_more"], more)

    def test_key_list_has_no_more_if_the_limit_is_just_reached(self):
        make_many(self.globex, 4)
        _, client = self.issue(organization=self.globex)
        for limit, more in [(4, True), (5, False), (6, False)]:
            response = client.get(f"/v1/keys?limit={limit}")
            self.assertIs(response.json()["has_more"], more)

    def test_key_list_limit_outside_1_to_100_is_refused(self):
        for limit in [
            "0", "101", "-1", "+1", "%2B1", "1.0", "1e1", "", "ten", "%20", "1%20", "0x10", "1_0",
            "99999999999999999999", "9" * 5000, "٣", "５", "1%00", "1%0A", "null", "true", "[1]",
        ]:  # fmt: skip
            with self.subTest(limit[:30]):
                response = self.api.get(f"/v1/keys?limit={limit}")
                self.assertRefused(response, 400, "parameter_invalid", field="limit")


@time_machine.travel(NOW, tick=False)
class PagingTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue()[1]
        make_many(self.acme, 22, apart=timedelta(seconds=1))
        # As many again with the same time, ordered by id alone.
        make_many(self.acme, 22, apart=timedelta(0))
        self.all = list(ApiKey.objects.values_list("id", flat=True))
        self.assertEqual(len(self.all), 45)

    def page(self, **query: Any) -> dict[str, Any]:
        response = self.api.get("/v1/keys", query)
        self.assertEqual(response.status_code, 200, response.content)
        answer: dict[str, Any] = response.json()
        return answer

    def test_key_list_paged_forwards_meets_every_key_once_in_order(self):
        for limit in (3, 9, 44, 45, 100):
            with self.subTest(limit):
                seen: list[str] = []
                query: dict[str, Any] = {"limit": limit}
                more = True
                while more:
                    page = self.page(**query)
                    seen += [key["id"] for key in page["data"]]
                    more = page["has_more"]
                    self.assertIs(more, len(seen) < 45)
                    query["starting_after"] = seen[-1]
                self.assertEqual(seen, self.all)
                self.assertEqual(self.page(**query)["data"], [])

    def test_key_list_paged_backwards_meets_every_key_once_in_order(self):
        for limit in (4, 11, 43, 44, 100):
            with self.subTest(limit):
                seen = [self.all[-1]]
                more = True
                while more:
                    page = self.page(limit=limit, ending_before=seen[0])
                    seen = [key["id"] for key in page["data"]] + seen
                    more = page["has_more"]
                    self.assertIs(more, len(seen) < 45)
                self.assertEqual(seen, self.all)
                last = self.page(ending_before=seen[0])
                self.assertEqual((last["data"], last["has_more"]), ([], False))

    def test_key_list_back_from_the_second_page_is_the_first(self):
        self.page(limit=1)  # The first use of its scopes shows in the next answer.
        first = self.page(limit=7)["data"]
        second = self.page(limit=7, starting_after=first[-1]["id"])["data"]
        back = self.page(limit=7, ending_before=second[0]["id"])["data"]
        self.assertEqual(back, first)

    def test_new_key_does_not_shift_later_pages_of_the_list(self):
        cursor = self.page(limit=7)["data"][-1]["id"]
        before = self.page(limit=7, starting_after=cursor)
        with time_machine.travel(NOW + timedelta(seconds=5), tick=False):
            self.issue()
        self.assertEqual(self.page(limit=7, starting_after=cursor), before)


class CursorTests(ApiTestCase):
    def setUp(self) -> None:
        self.key, self.api = self.issue()
        self.issue()

    def test_key_list_cursor_must_be_a_key_of_this_list(self):
        foreign = {
            "another organization's": self.issue(organization=self.globex)[0].id,
            "another mode's": self.issue(livemode=False)[0].id,
            "one that never existed": "key_000000000000",
            "an organization": self.acme.id,
            "an event": "evt_000000000000",
        }
        for name in ("starting_after", "ending_before"):
            for what, cursor in foreign.items():
                with self.subTest(f"{name}: {what}"):
                    response = self.api.get("/v1/keys", {name: cursor})
                    self.assertRefused(response, 400, "parameter_invalid", field=name)
            self.assertEqual(self.api.get("/v1/keys", {name: self.key.id}).status_code, 200)

    def test_malformed_key_list_cursor_is_refused(self):
        for name in ("starting_after", "ending_before"):
            for cursor in [
                "", "key_", "x", "5", "key_short", f"{self.key.id} ", f"{self.key.id}\n",
                f"{self.key.id}\x00", "\x00", "key_" + "x" * 5000, "key_ümläütümläüt",
                "KEY_000000000000", "' OR 1=1 --", "null", "\ufffd",
            ]:  # fmt: skip
                with self.subTest(f"{name}: {cursor[:30]!r}"):
                    response = self.api.get("/v1/keys", {name: cursor})
                    self.assertRefused(response, 400, "parameter_invalid", field=name)

    def test_starting_after_with_ending_before_is_refused(self):
        both = {"starting_after": self.key.id, "ending_before": self.key.id}
        response = self.api.get("/v1/keys", both)
        self.assertRefused(response, 400, "parameter_invalid", field="ending_before")

    def test_restricted_keys_list_takes_no_cursor_but_itself(self):
        restricted, narrow = self.issue(scopes=["tests:read"])
        response = narrow.get("/v1/keys", {"starting_after": self.key.id})
        self.assertRefused(response, 400, "parameter_invalid", field="starting_after")
        self.assertEqual(ids(narrow.get("/v1/keys", {"starting_after": restricted.id})), [])

    def test_key_list_cursor_stays_valid_after_its_key_left_the_filter(self):
        with time_machine.travel(timezone.now() + timedelta(seconds=9), tick=False):
            cursor, _ = self.issue()
            query = {"status": "active", "starting_after": cursor.id}
            before = ids(self.api.get("/v1/keys", query))
            self.api.delete(f"/v1/keys/{cursor.id}")
            self.assertEqual(ids(self.api.get("/v1/keys", query)), before)
            self.assertEqual(len(before), 2)


def make_many(organization: Any, count: int, *, apart: timedelta = timedelta(seconds=1)) -> None:
    """Store keys without secrets, each older than the last."""
    now = timezone.now()
    ApiKey.objects.bulk_create(
        ApiKey(organization=organization, name=f"n{i}", created_at=now - i * apart)
        for i in range(count)
    )
