"""Tests of the admin's home: what needs attention, each number linked to its list."""

import re
from datetime import timedelta
from html import unescape

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from accounts.models import Meter, Organization, Usage
from accounts.models.usage import ALWAYS
from apikeys.models import ApiKey, KeyDay, KeySecret, ScopeGrant
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from staff.models import User
from staff.templatetags.home import requests_of
from tests.staff.test_admin import KEYS, ORGANIZATIONS, AdminTestCase, page_of

MATTER = re.compile(r'<a href="([^"]+)"><strong>([\d,+]+)</strong> ([^<]+)</a>')


class HomeTests(AdminTestCase):
    def matters(self, browser: Client | None = None) -> dict[str, tuple[str, str]]:
        """Return each matter's number and link by its text."""
        page = (browser or self.browser).get("/admin/").content.decode()
        return {said: (number, unescape(url)) for url, number, said in MATTER.findall(page)}

    def test_home_numbers_equal_the_length_of_the_lists_they_link_to(self):
        now = timezone.now()
        self.issue(expires_at=now + timedelta(days=3), scopes=["tests:read"])
        long_ago = now - timedelta(days=100)
        for used in (None, now - timedelta(days=95), now):
            old, _ = self.issue(name="Old", scopes=["tests:read", "tests:write"])
            ApiKey.objects.filter(pk=old.pk).update(created_at=long_ago)
            ScopeGrant.objects.filter(api_key=old).update(granted_at=long_ago)
            KeySecret.objects.filter(api_key=old).update(last_used_at=used)
        rotating, _ = self.issue(livemode=False)
        rotate(rotating, actor=Actor.cli(), overlap=timedelta(hours=1))
        revoke(self.issue()[0], actor=Actor.cli())
        self.globex.suspend(actor=Actor.cli(), reason="unpaid")
        Usage.objects.create(
            organization=self.acme, livemode=True, meter=Meter.DOMAINS, period_start=ALWAYS, used=9
        )

        matters = self.matters()

        numbers = [int(number) for number, _ in matters.values()]
        self.assertEqual(numbers, [1, 2, 1, 3, 1, 1, 1, 1, 1])
        for said, (number, url) in matters.items():
            with self.subTest(said):
                rows = self.browser.get(url).context["cl"].result_list
                self.assertEqual(len(rows), int(number))

    def test_home_says_that_no_mail_is_set_up(self):
        self.assertNotContains(self.browser.get("/admin/"), "No mail is set up")
        with override_settings(EMAIL_FROM=""):
            self.assertContains(self.browser.get("/admin/"), "No mail is set up")

    def test_home_shows_30_days_of_requests_as_a_chart_and_a_table(self):
        one, two = self.issue()[0], self.issue()[0]
        today = timezone.now().date()
        for api_key in (one, two):
            KeyDay.objects.create(api_key=api_key, day=today, requests=600, limited=5)
        page = self.browser.get("/admin/").content.decode()
        self.assertIn("1,200 requests, 10 of them refused", page)
        self.assertIn(f'{today}</td><td class="number">1,200</td><td class="number">10</td>', page)

    def test_home_adds_up_past_days_once_and_caches_them(self):
        api_key, today = self.issue()[0], timezone.now().date()
        requests_of.cache_clear()
        self.addCleanup(requests_of.cache_clear)
        for back, requests in ((0, 3), (1, 20), (2, 100), (29, 1000), (30, 5000)):
            day = today - timedelta(days=back)
            KeyDay.objects.create(api_key=api_key, day=day, requests=requests, limited=0)
        self.assertContains(self.browser.get("/admin/"), "1,123 requests")
        with CaptureQueriesContext(connection) as queries:
            self.assertContains(self.browser.get("/admin/"), "1,123 requests")
        summed = [q for q in queries.captured_queries if "SUM(" in q["sql"]]
        self.assertEqual(len(summed), 2)  # Today, and yesterday: clocks may differ.

    def test_home_has_the_search_box_for_pasted_keys_if_keys_may_be_viewed(self):
        api_key, client = self.issue()
        self.assertContains(self.browser.get("/admin/"), 'action="/admin/apikeys/apikey/find/"')
        answer = self.browser.post(f"{KEYS}find/", {"q": client.key})
        self.assertEqual(answer["Location"], page_of(KEYS, api_key.pk))
        self.assertNotContains(self.colleague("view_organization").get("/admin/"), "/find/")

    def test_home_of_a_fresh_installation_says_what_to_do_first(self):
        Organization.objects.all().delete()
        page = self.browser.get("/admin/").content.decode()
        for url in (f"{ORGANIZATIONS}add/", f"{KEYS}add/", "/admin/staff/user/add/"):
            self.assertIn(f'<a href="{url}">', page.split("Nothing is here yet")[1])
        self.assertEqual(self.matters(), {})
        auditor = self.colleague("view_organization").get("/admin/").content.decode()
        self.assertIn("Ask an account manager to add an organization", auditor)

    def test_home_shows_only_what_the_user_may_view(self):
        for rights, count in [
            ((), 0),
            (("view_organization",), 3),
            (("view_apikey", "view_plan"), 6),
        ]:
            with self.subTest(rights):
                self.assertEqual(len(self.matters(self.colleague(*rights))), count)
        nobody = Client()
        nobody.force_login(User.objects.get(username="user-0"))
        self.assertContains(nobody.get("/admin/"), "no right to see anything")

    def test_home_numbers_stop_at_a_thousand(self):
        rows = [
            Organization(name="Many", plan_id="free", suspended_at=timezone.now())
            for _ in range(1005)
        ]
        Organization.objects.bulk_create(rows)
        self.assertEqual(self.matters()["organizations are suspended"][0], "1,000+")
