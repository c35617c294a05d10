"""Tests of the list of keys: its columns, filters, paging and query counts."""

from datetime import timedelta
from unittest import mock

from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Organization
from apikeys.authentication.scope_use import note_exercised
from apikeys.models import ApiKey, KeySecret, ScopeGrant
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from staff.kit.lists import ReadOnlyAdmin
from staff.models import User
from tests.staff.test_admin import KEYS, ORGANIZATIONS, AdminTestCase, page_of

LONG_AGO = timedelta(days=100)
# States in which every request is refused; the secrets show them, too.
REFUSED = {
    state: f'<span class="badge badge-{state}">{state}</span>'
    for state in ("expired", "revoked", "suspended")
}


class KeyListTestCase(AdminTestCase):
    def listed(self, **query: str) -> set[str]:
        """Return the names of the keys on the list."""
        response = self.browser.get(KEYS, query)
        self.assertEqual(response.status_code, 200)
        return {api_key.name for api_key in response.context["cl"].result_list}

    def made(self, name: str, *, ago: timedelta = timedelta(0), **fields: object) -> ApiKey:
        """Issue a key and date its creation back."""
        api_key, _ = self.issue(name=name, **fields)
        then = timezone.now() - ago
        ApiKey.objects.filter(pk=api_key.pk).update(created_at=then)
        ScopeGrant.objects.filter(api_key=api_key).update(granted_at=then)
        return api_key

    def used(self, api_key: ApiKey, *, ago: timedelta) -> None:
        KeySecret.objects.filter(api_key=api_key).update(last_used_at=timezone.now() - ago)


class ColumnTests(KeyListTestCase):
    def test_key_list_has_six_columns_and_times_to_the_minute(self):
        end = timezone.now() + timedelta(days=300)
        self.issue(expires_at=end)
        page = self.browser.get(KEYS).content.decode()
        self.assertEqual(page.count('<th scope="col" class="'), 1 + 6)  # And the checkboxes'.
        self.assertIn(f"{end:%Y-%m-%d %H:%M}</time>", page)

    def test_key_state_is_the_same_on_every_page(self):
        states = {
            "fine": "active",
            "soon": "expiring",
            "turning": "rotating",
            "past": "expired",
            "gone": "revoked",
            "paused": "suspended",
        }
        keys = {name: self.issue(name=name)[0] for name in states if name != "paused"}
        keys["paused"] = self.issue(name="paused", organization=self.globex)[0]
        for name, end in (("soon", timedelta(days=3)), ("past", timedelta(seconds=-1))):
            then = timezone.now() + end
            ApiKey.objects.filter(name=name).update(
                expires_at=then, created_at=then - timedelta(days=1)
            )
        rotate(keys["turning"], actor=Actor.cli(), overlap=timedelta(hours=1))
        revoke(keys["gone"], actor=Actor.cli())
        self.globex.suspend(actor=Actor.cli(), reason="unpaid")
        for name, state in states.items():
            word = f'<span class="badge badge-{state}">{state}</span>'
            of_newest = '<span class="badge badge-active">newest</span>'
            owner = page_of(ORGANIZATIONS, keys[name].organization_id)
            key_page = page_of(KEYS, keys[name].pk)
            for url, begin, end_, said in (
                (KEYS, f">{name}</bdi>", "</tr>", word),
                (owner, f"<bdi>{name}</bdi>", "</li>", word),
                (key_page, "<dt>State</dt>", "</dd>", word),
                (key_page, 'data-label="State">', "</td>", REFUSED.get(state, of_newest)),
            ):
                with self.subTest(url, key=name):
                    page = self.browser.get(url).content.decode()
                    shown = page.split(begin)[1].split(end_)[0]
                    self.assertIn(said, shown)
                    if state in REFUSED:
                        self.assertNotIn("badge-active", shown)

    def test_key_list_linked_from_home_shows_why_each_key_is_there(self):
        old = self.made("old", ago=LONG_AGO, scopes=["tests:read", "tests:write"])
        note_exercised(old.pk, ["tests:read"], day=timezone.now().date())
        rotate(self.made("turning"), actor=Actor.cli(), overlap=timedelta(hours=1))
        ends = KeySecret.objects.get(expires_at__isnull=False).expires_at
        revoke(gone := self.made("gone"), actor=Actor.cli())
        for query, name, said in (
            ({"scope": "more than used"}, "old", ">tests:write</td>"),
            ({"status": "rotating"}, "turning", f"{ends:%Y-%m-%d %H:%M}</time>"),
            ({"status": "revoked this week"}, "gone", f"{gone.revoked_at:%Y-%m-%d %H:%M}</time>"),
        ):
            with self.subTest(query):
                page = self.browser.get(KEYS, query).content.decode()
                self.assertIn(said, page.split(f">{name}</bdi>")[1].split("</tr>")[0])

    def test_key_list_marks_sandbox_keys(self):
        self.issue(name="sandbox", livemode=False)
        self.assertContains(
            self.browser.get(KEYS), '<span class="badge badge-test">test key</span>'
        )

    def test_empty_key_list_says_what_to_do(self):
        self.assertContains(self.browser.get(KEYS, {"q": "nowhere"}), "Take a filter away")


class FilterTests(KeyListTestCase):
    def test_key_list_filters_by_status(self):
        now = timezone.now()
        self.made("fine", ago=LONG_AGO)
        self.made("soon", expires_at=now + timedelta(days=3))
        past = self.made("past", ago=LONG_AGO)
        ApiKey.objects.filter(pk=past.pk).update(expires_at=now - timedelta(seconds=1))
        rotate(self.made("turning"), actor=Actor.cli(), overlap=timedelta(hours=1))
        self.made("paused", organization=self.globex)
        self.globex.suspend(actor=Actor.cli(), reason="unpaid")
        revoke(self.made("gone"), actor=Actor.cli())
        old = self.made("gone long ago")
        revoke(old, actor=Actor.cli())
        ApiKey.objects.filter(pk=old.pk).update(revoked_at=now - timedelta(days=8))
        for status, names in [
            ("active", {"fine", "soon", "turning"}),
            ("expiring", {"soon"}),
            ("expired", {"past"}),
            ("rotating", {"turning"}),
            ("suspended", {"paused"}),
            ("revoked", {"gone", "gone long ago"}),
            ("revoked this week", {"gone"}),
            ("nonsense", {"fine", "soon", "past", "turning", "paused", "gone", "gone long ago"}),
        ]:
            with self.subTest(status):
                self.assertEqual(self.listed(status=status), names)

    def test_key_list_filters_by_mode_and_plan(self):
        self.made("live")
        self.made("test", livemode=False)
        self.made("theirs", organization=self.globex)
        self.assertEqual(self.listed(livemode__exact="0"), {"test"})
        self.assertEqual(self.listed(livemode__exact="1"), {"live", "theirs"})
        self.assertEqual(self.listed(plan="free"), {"theirs"})
        self.assertEqual(self.listed(plan="team", livemode__exact="1"), {"live"})

    def test_key_list_filters_by_time_since_last_use(self):
        self.made("new")
        self.used(self.made("busy", ago=LONG_AGO), ago=timedelta(hours=1))
        self.used(self.made("quiet", ago=LONG_AGO), ago=timedelta(days=40))
        self.used(self.made("asleep", ago=LONG_AGO), ago=timedelta(days=95))
        self.made("forgotten", ago=timedelta(days=31))
        self.assertEqual(self.listed(unused="30 days"), {"quiet", "asleep", "forgotten"})
        self.assertEqual(self.listed(unused="90 days"), {"asleep"})
        self.assertEqual(self.listed(unused="never used"), {"forgotten"})

    def test_key_list_filters_by_scope_and_by_unused_scopes(self):
        self.made("reader", scopes=["tests:read"])
        wide = self.made("wide", ago=LONG_AGO, scopes=["tests:read", "tests:write"])
        note_exercised(wide.pk, ["tests:read"], day=timezone.now().date())
        self.assertEqual(self.listed(scope="tests:write"), {"wide"})
        self.assertEqual(self.listed(scope="more than used"), {"wide"})


class SearchTests(KeyListTestCase):
    def test_key_search_finds_a_key_by_an_ended_secret(self):
        api_key, client = self.issue(name="rotated")
        rotate(api_key, actor=Actor.cli(), overlap=timedelta(0))
        self.assertEqual(self.listed(q=client.key[8:16]), {"rotated"})


class PagingTests(KeyListTestCase):
    def test_key_list_pages_newest_first_without_counting(self):
        for number in range(5):
            self.made(f"number {number}", ago=timedelta(days=number))
        with mock.patch.object(ReadOnlyAdmin, "list_per_page", 2):
            first = self.browser.get(KEYS)
            names = [api_key.name for api_key in first.context["cl"].result_list]
            self.assertEqual(names, ["number 0", "number 1"])
            self.assertContains(first, 'href="?p=2" rel="next"')
            self.assertNotContains(first, 'rel="prev"')
            self.assertEqual(self.listed(p="3"), {"number 4"})
            last = self.browser.get(KEYS, {"p": "3", "livemode__exact": "1"})
            self.assertContains(last, 'href="?p=2&amp;livemode__exact=1" rel="prev"')
            self.assertNotContains(last, 'rel="next"')

    def test_organization_autocomplete_ends_with_its_last_page(self):
        for number in range(21):
            Organization.objects.create(name=f"Many {number}", plan_id="free")
        asked = {"app_label": "apikeys", "model_name": "apikey", "field_name": "organization"}
        for page, found, more in (("1", 20, True), ("2", 1, False)):
            query = {**asked, "term": "Many", "page": page}
            answer = self.browser.get("/admin/autocomplete/", query).json()
            self.assertEqual(len(answer["results"]), found)
            self.assertIs(answer["pagination"]["more"], more)

    def test_key_list_page_out_of_range_redirects(self):
        for page in ("0", "-1", "9" * 30):
            self.assertEqual(self.browser.get(KEYS, {"p": page}).status_code, 302)
        self.assertEqual(self.listed(p="x"), set())

    def test_key_list_takes_under_ten_queries_with_rights_by_group_and_counts_nothing(self):
        for number in range(30):
            self.issue(name=f"Nightly {number}")
        group = Group.objects.create(name="Watchers")
        group.permissions.set(Permission.objects.filter(codename__in=["view_apikey"]))
        user = User.objects.create_user("wanda", is_staff=True)
        user.groups.add(group)
        browser = Client()
        browser.force_login(user)
        for query in (
            {},
            {"p": "1", "status": "active", "unused": "90 days", "scope": "more than used"},
            {"q": "nightly"},
            {"q": ApiKey.objects.earliest("created_at").pk},
            {"q": "abcd"},
        ):
            with (
                self.subTest(query),
                CaptureQueriesContext(
                    connection,
                ) as queries,
            ):
                self.assertEqual(browser.get(KEYS, query).status_code, 200)
            self.assertLess(len(queries), 10)
            for statement in queries.captured_queries:
                self.assertNotIn("COUNT(", statement["sql"].upper())
