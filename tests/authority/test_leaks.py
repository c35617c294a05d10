"""Tests of what a report of leaked keys ends: by whom each newest secret was issued decides."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

import time_machine
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from accounts.models import OnLeak, Organization
from apikeys.models import ApiKey, KeySecret
from apikeys.plaintext import signing_digest
from apikeys.verbs import leak
from apikeys.verbs.leak import Place
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent, AuditLog
from notices.leaks.queue import kill
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads

NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
DAY = timedelta(days=1)
URL = "https://github.com/acme/app/blob/main/.env"


@contextmanager
def heard(*, is_heard: bool) -> Iterator[None]:
    """Let organizations have a verified contact, or none."""
    with mock.patch.object(AuditLog, "is_heard", mock.PropertyMock(return_value=is_heard)):
        yield


class LeakTestCase(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOW, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)

    def report(self, *leaked: ApiClient, source: str = "github", url: str = URL) -> set[bytes]:
        places = {signing_digest(client.key)[1]: Place(url) for client in leaked}
        return kill(places, actor=Actor.scanner(source), source=source)

    def works(self, *clients: ApiClient) -> str:
        """Return a + for each client that is let in, and a - for each that is not."""
        answers = (client.get("/v1/auth/me").status_code == 200 for client in clients)
        return "".join("+" if works else "-" for works in answers)

    def leaks(self, api_key: ApiKey) -> list[dict[str, Any]]:
        """Return what the events of leaks say, oldest first."""
        events = AuditEvent.objects.filter(target_id=api_key.pk, action=leak.LEAKED)
        rows = events.order_by("sequence").values_list("changes", flat=True)
        return [{name: after for name, (_, after) in changes.items()} for changes in rows]


class ChainTests(LeakTestCase):
    """`self.key` has leaked; each test has a story of who rotated it."""

    def setUp(self) -> None:
        super().setUp()
        self.key, self.leaked = self.issue(name="leaked")
        self.other_key, self.other = self.issue(name="other")

    def rotated(self, by: ApiClient, of: ApiKey | None = None, overlap: int = 86_400) -> ApiClient:
        """Rotate a key, then use the new secret, a second later."""
        client = self.rotate(by, of or self.key, overlap_seconds=overlap)
        self.clock.shift(1)
        self.assertEqual(self.works(client), "+")
        return client

    def test_newest_secret_takes_its_key_with_it(self):
        self.report(self.leaked)
        self.assertEqual(self.works(self.leaked, self.other), "-+")
        self.assertEqual(self.actions(self.key), ["issued", "leaked", "revoked"])

    def test_key_that_the_leaked_secret_rotated_dies_however_it_was_done(self):
        def once() -> ApiClient:
            return self.rotated(self.leaked)

        def once_unused() -> ApiClient:
            return self.rotate(self.leaked, self.key)

        def once_without_overlap() -> ApiClient:
            return self.rotated(self.leaked, overlap=0)

        def once_and_finished() -> ApiClient:
            thief = self.rotated(self.leaked)
            thief.send(f"/v1/keys/{self.key.id}/finish_rotation", {})
            return thief

        def once_and_its_overlap_is_over() -> ApiClient:
            thief = self.rotated(self.leaked, overlap=60)
            self.clock.shift(61)
            return thief

        def twice() -> ApiClient:
            return self.rotated(self.rotated(self.leaked))

        def twice_without_overlap() -> ApiClient:
            return self.rotated(self.rotated(self.leaked, overlap=0), overlap=0)

        def weekly_for_four_weeks() -> ApiClient:
            thief = self.leaked
            for _ in range(4):
                thief = self.rotated(thief)
                self.clock.shift(7 * DAY)
            return thief

        def through_another_key_that_it_rotated() -> ApiClient:
            return self.rotated(self.rotated(self.leaked, self.other_key))

        def through_a_key_that_it_made() -> ApiClient:
            return self.rotated(self.make(self.leaked)[1])

        def through_a_key_that_its_rotated_secret_made() -> ApiClient:
            made = self.make(self.rotated(self.leaked))[1]
            return self.rotated(made)

        def through_a_creation_that_was_sent_again() -> ApiClient:
            for _ in range(2):
                answer = self.leaked.send("/v1/keys", {"name": "x"}, **{"Idempotency-Key": "t-1"})
            return self.rotated(ApiClient(answer.json()["key"]))

        def in_place_of_an_unused_one_of_the_owners() -> ApiClient:
            made = self.make(self.leaked)[1]
            self.rotate(self.other, self.key)
            return self.rotate(made, self.key)

        for story in (
            once, once_unused, once_without_overlap, once_and_finished,
            once_and_its_overlap_is_over, twice, twice_without_overlap, weekly_for_four_weeks,
            through_another_key_that_it_rotated, through_a_key_that_it_made,
            through_a_key_that_its_rotated_secret_made, through_a_creation_that_was_sent_again,
            in_place_of_an_unused_one_of_the_owners,
        ):  # fmt: skip
            with self.subTest(story.__name__):
                self.setUp()
                thief = story()
                self.assertEqual(self.works(thief), "+")
                self.report(self.leaked)
                self.assertEqual(self.works(self.leaked, thief), "--")
                self.key.refresh_from_db()
                self.assertEqual(self.key.revoked_by, "scanner:github")
                self.assertEqual([said["done"] for said in self.leaks(self.key)], ["key_revoked"])

    def test_secret_that_was_rotated_out_ends_alone_unless_the_newest_came_from_it(self):
        def with_another_key() -> ApiClient:
            return self.rotated(self.other)

        def with_another_key_after_the_thief_did() -> ApiClient:
            self.rotated(self.leaked)
            return self.rotated(self.other)

        def with_another_key_in_place_of_the_thiefs_unused() -> ApiClient:
            self.rotate(self.leaked, self.key)
            return self.rotated(self.other)

        def by_staff() -> ApiClient:
            return ApiClient(rotate(self.key, actor=Actor.staff(self.sam), overlap=DAY))

        def by_itself_thirty_days_ago() -> ApiClient:
            owner = self.rotated(self.leaked)
            self.clock.shift(30 * DAY)
            return owner

        def by_itself_each_month() -> ApiClient:
            owner = self.leaked
            for _ in range(3):
                owner = self.rotated(owner)
                self.clock.shift(25 * DAY)
            return owner

        def with_a_key_that_it_made_long_ago() -> ApiClient:
            made = self.make(self.leaked)[1]
            self.clock.shift(31 * DAY)
            return self.rotated(made)

        def with_a_key_that_staff_made() -> ApiClient:
            return self.rotated(self.issue()[1])

        for story in (
            with_another_key, with_another_key_after_the_thief_did,
            with_another_key_in_place_of_the_thiefs_unused, by_staff, by_itself_thirty_days_ago,
            by_itself_each_month, with_a_key_that_it_made_long_ago, with_a_key_that_staff_made,
        ):  # fmt: skip
            with self.subTest(story.__name__):
                self.setUp()
                owner = story()
                was = self.works(self.leaked)
                self.report(self.leaked)
                self.assertEqual(self.works(self.leaked, owner), "-+")
                done = "secrets_ended" if was == "+" else "already_ended"
                self.assertEqual([said["done"] for said in self.leaks(self.key)], [done])
                locator = self.leaked.key.split("_")[2]
                self.assertEqual(self.leaks(self.key)[0]["secrets"], [locator])

    def test_secret_that_was_never_newest_again_kills_nothing(self):
        made, first = self.make(self.leaked)
        again = self.rotate(self.other, made)
        self.rotate(again, made)
        self.report(first)
        made.refresh_from_db()
        self.assertIsNone(made.revoked_at)

    def test_keys_that_it_made_live_on_and_are_counted_with_a_line_that_ends_them(self):
        made = [self.make(self.leaked)[1] for _ in range(2)]
        rotated = self.rotate(self.leaked, self.other_key)
        self.report(self.leaked)
        self.assertEqual(self.works(self.leaked, *made, rotated, self.other), "-++++")
        said = self.leaks(self.key)[0]
        self.assertEqual((said["keys_made"], said["secrets_issued"]), (2, 1))
        method, path = said["cascade"].split()
        self.assertEqual((method, path), ("DELETE", f"/v1/keys/{self.key.id}?cascade=true"))
        self.assertEqual(self.issue()[1].delete(path).status_code, 200)
        self.assertEqual(self.works(*made, rotated, self.other), "---+")

    def test_report_costs_the_same_for_a_key_that_made_many(self):
        counts = []
        for many in (1, 6):
            client = first = self.issue()[1]
            for _ in range(many):
                client = self.make(client)[1]
            with CaptureQueriesContext(connection) as queries:
                self.report(first)
            counts.append(len(queries))
        self.assertEqual(counts[0], counts[1])

    def test_both_secrets_of_a_key_in_one_report_make_one_event(self):
        newest = self.rotated(self.other)
        self.report(self.leaked, newest)
        self.assertEqual(self.works(self.leaked, newest), "--")
        self.assertEqual(len(self.leaks(self.key)[0]["secrets"]), 2)
        self.assertEqual(self.actions(self.key), ["issued", "rotated", "leaked", "revoked"])


class ReportTests(LeakTestCase):
    def test_repeated_report_changes_nothing_and_tells_nothing(self):
        key, leaked = self.issue()
        self.rotate(leaked, key)
        for _ in range(3):
            self.assertEqual(len(self.report(leaked)), 1)
        self.assertEqual(self.actions(key), ["issued", "rotated", "leaked", "revoked"])
        with self.assertNumQueries(1):
            self.report(leaked)

    def test_each_source_is_recorded_once_even_if_the_key_was_dead(self):
        key, leaked = self.issue()
        revoke(key, actor=Actor.cli())
        for source in ("github", "depsdev", "github", "depsdev"):
            self.report(leaked, source=source)
        said = [(it["source"], it["done"]) for it in self.leaks(key)]
        self.assertEqual(said, [("github", "already_ended"), ("depsdev", "already_ended")])

    def test_keys_that_no_longer_work_are_known_and_stay_as_they_are(self):
        expired, leaked = self.issue(expires_at=NOW + DAY)
        self.clock.shift(2 * DAY)
        self.assertEqual(len(self.report(leaked)), 1)
        expired.refresh_from_db()
        self.assertIsNone(expired.revoked_at)
        self.assertEqual(self.leaks(expired)[0]["done"], "already_ended")

    def test_unknown_digest_is_not_returned_and_writes_nothing(self):
        before = AuditEvent.objects.count()
        with self.assertNumQueries(1):
            unknown = {b"x" * 32: Place()}
            self.assertEqual(kill(unknown, actor=Actor.stranger(), source="revoke_exposed"), set())
        self.assertEqual(AuditEvent.objects.count(), before)

    def test_key_of_a_suspended_organization_or_of_test_mode_dies(self):
        for fields in ({"organization": self.globex}, {"livemode": False}):
            key, leaked = self.issue(**fields)
            if "organization" in fields:
                self.globex.suspend(actor=Actor.cli(), reason="unpaid")
            self.report(leaked)
            key.refresh_from_db()
            self.assertIsNotNone(key.revoked_at, fields)

    def test_policy_notify_spares_the_key_only_if_somebody_is_told(self):
        Organization.objects.filter(pk=self.acme.pk).update(on_leak=OnLeak.NOTIFY)
        for is_heard, expected in ((True, ("notified", "+")), (False, ("key_revoked", "-"))):
            key, leaked = self.issue()
            with self.subTest(expected), heard(is_heard=is_heard):
                for _ in range(2):
                    self.report(leaked)
                said = [it["done"] for it in self.leaks(key)]
                self.assertEqual((*said, self.works(leaked)), expected)

    def test_policy_notify_tells_of_each_secret_once_after_any_other_report(self):
        Organization.objects.filter(pk=self.acme.pk).update(on_leak=OnLeak.NOTIFY)
        key, first = self.issue()
        second = self.rotate(self.issue()[1], key, overlap_seconds=0)
        with heard(is_heard=True):
            for leaked in (first, second, first, second):
                self.report(leaked)
            third = self.rotate(self.issue()[1], key, overlap_seconds=60)
            for leaked in (second, third, third):
                self.report(leaked)
            self.report(second, third)
        said = [(it["done"], it["secrets"]) for it in self.leaks(key)]
        done = ("already_ended", "notified", "notified")
        locators = [[client.key.split("_")[2]] for client in (first, second, third)]
        self.assertEqual(said, list(zip(done, locators, strict=True)))

    def test_policy_notify_tells_of_a_thief_who_ended_the_leaked_secret(self):
        Organization.objects.filter(pk=self.acme.pk).update(on_leak=OnLeak.NOTIFY)
        key, leaked = self.issue()
        self.rotate(leaked, key, overlap_seconds=0)
        with heard(is_heard=True):
            self.report(leaked)
        self.assertEqual(self.leaks(key)[0]["done"], "notified")

    def test_event_holds_no_other_text_of_the_finders_than_an_https_url_without_a_key(self):
        plaintext = self.issue()[1].key
        for url, shown in (
            (URL, URL),
            ("", None),
            ("http://example.com/x", None),
            ("javascript:alert(1)", None),
            ("https://example.com/a b", None),
            ("https://example.com/\n", None),
            ("https://example.com/\x00", None),
            ("https://example.com/ü", None),
            ("https://example.com/" + "x" * 1000, None),
            (f"https://example.com/?key={plaintext}", None),
            ("https://example.com/?q=" + plaintext.replace("_", "%5F"), None),
        ):
            with self.subTest(url[:40]):
                key, leaked = self.issue()
                self.report(leaked, url=url)
                self.assertEqual(self.leaks(key)[0].get("url"), shown)
        for kind, shown in (("Commit", "Commit"), ("<b>", None), ("x" * 41, None)):
            key, leaked = self.issue()
            places = {signing_digest(leaked.key)[1]: Place(URL, kind)}
            kill(places, actor=Actor.scanner("github"), source="github")
            self.assertEqual(self.leaks(key)[0].get("found_in"), shown)

    def test_customers_see_the_event_by_its_actors_type_alone(self):
        key, leaked = self.issue()
        reader = self.issue()[1]
        self.report(leaked)
        shown, revoked = reader.get(f"/v1/events?key={key.id}").json()["data"][1::-1]
        self.assertEqual(
            (shown["action"], revoked["action"]), ("api_key.leaked", "api_key.revoked")
        )
        self.assertEqual(shown["actor"], {"type": "scanner"})
        self.assertEqual(shown["changes"]["url"], [None, URL])
        self.assertEqual((shown["reason"], shown["ip"]), (None, None))
        of_scanners = reader.get("/v1/events?actor=scanner").json()["data"]
        self.assertEqual(len(of_scanners), 2)

    def test_fault_of_one_organization_is_raised_after_the_others_were_done(self):
        keys = [self.issue(organization=of) for of in (self.acme, self.globex)]
        real: Callable[..., None] = leak.act_on_leak

        def act(organization_id: str, *args: Any, **more: Any) -> None:
            if organization_id == self.acme.pk:
                raise OperationalError("canceling statement due to lock timeout")
            real(organization_id, *args, **more)

        act_patched = mock.patch("notices.leaks.queue.act_on_leak", act)
        with act_patched, self.assertRaises(OperationalError):
            self.report(*(client for _, client in keys))
        self.assertEqual(self.works(keys[0][1], keys[1][1]), "+-")

    def test_one_key_costs_a_fixed_number_of_queries_and_further_ones_of_an_organization_four(self):
        for count, number in ((1, 14), (2, 18), (3, 22)):
            leaked = [self.issue()[1] for _ in range(count)]
            with self.subTest(count), self.assertNumQueries(number):
                self.report(*leaked)
        secrets = KeySecret.objects.filter(api_key__revoked_at=None)
        self.assertFalse(secrets.exists())


class RaceTests(CommittedTestCase):
    def report(self, leaked: ApiClient) -> set[bytes]:
        places = {signing_digest(leaked.key)[1]: Place()}
        return kill(places, actor=Actor.scanner("github"), source="github")

    def test_thief_who_rotates_or_makes_keys_while_the_report_comes_does_not_keep_the_key(self):
        for _ in range(4):
            key, leaked = self.issue()
            rotation = partial(leaked.send, f"/v1/keys/{key.pk}/rotate", {"overlap_seconds": 0})
            answer, *_ = in_threads(rotation, partial(self.report, leaked))
            thief = ApiClient(answer.json()["key"]) if answer.status_code == 200 else leaked
            for client in (leaked, thief):
                self.assertEqual(client.get("/v1/auth/me").status_code, 401)
            key.refresh_from_db()
            self.assertEqual(key.revoked_by, "scanner:github")

    def test_report_that_comes_several_times_at_once_is_carried_out_and_told_once(self):
        key, leaked = self.issue()
        known = in_threads(*[partial(self.report, leaked)] * 6)
        self.assertEqual({len(digests) for digests in known}, {1})
        self.assertEqual(self.actions(key), ["issued", "leaked", "revoked"])
