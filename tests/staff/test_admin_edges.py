"""Tests of odd queries to the admin, which no page of it writes: none is a 500."""

from urllib.parse import quote

from django.test import Client

from tests.support.cast import ApiTestCase
from tests.support.staff import member_of

LISTS = (
    "audit/auditevent",
    "accounts/organization",
    "accounts/plan",
    "staff/user",
    "apikeys/apikey",
    "auth/group",
)
DAYS = ("9999-12-31", "0001-01-01", "0000-01-01", "10000-01-01", "2026-02-30", "\x00", "nonsense")
ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/",
    "///evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "http:evil",
    "\x00",
    "",
)


class QueryTests(ApiTestCase):
    def test_any_day_filter_is_accepted_or_refused_with_a_message(self):
        browser = self.staff()
        browser.raise_request_exception = False
        page = "/admin/audit/auditevent/"
        for day in DAYS:
            for name in ("since", "until"):
                with self.subTest(day=day, name=name):
                    self.assertEqual(browser.get(page, {name: day}).status_code, 200)
                    export = f"{page}export/?{name}={quote(day)}"
                    status = browser.post(export, {"format": "csv"}).status_code
                    self.assertEqual(status, 400 if "\x00" in day else 200)
        shown = browser.get(page, {"since": "0001-01-01", "until": "9999-12-31"})
        self.assertContains(shown, "organization.created")

    def test_odd_query_of_a_list_is_never_a_500(self):
        browser = self.staff()
        browser.raise_request_exception = False
        for query in (
            "q=%00&o=%00",
            "p=%00",
            "e=nonsense&all=&o=nonsense",
            "created_at__gte=9999-12-31",
            "created_at__year=0000",
            "p=99999999999999999999",
            "p=-1",
            "o=1.-2.99.x",
            "created_at__year=99999999999",
            "date_joined__year=99999999999",
            "groups__id__exact=99999999999999999999",
            "plan__slug__exact=%00",
            "is_staff__exact=2",
            "livemode__exact=2",
            "id__in=" + ",".join("1" * 50),
            "pk=99999999999999999999999999",
            "organization=%00&action=%00&actor=%00&status=%00&plan=%00",
            "_to_field=password",
            "_popup=1&_facets=True",
            "q=" + "%CC%95%CC%80" * 2000,
        ):
            for model in LISTS:
                with self.subTest(query[:60], model=model):
                    response = browser.get(f"/admin/{model}/?{query}")
                    self.assertIn(response.status_code, (200, 302, 400, 403))


class NextTests(ApiTestCase):
    def test_next_to_another_site_leads_home_after_log_in(self):
        member_of()
        for wanted in ELSEWHERE:
            form = {"username": "staff", "password": "correct horse"}
            for query, fields in ((f"?next={quote(wanted)}", {}), ("", {"next": wanted})):
                with self.subTest(wanted=wanted, in_query=bool(query)):
                    answer = Client().post("/admin/login/" + query, {**form, **fields})
                    self.assertRedirects(answer, "/admin/", fetch_redirect_response=False)
        signed_in = self.staff()
        for wanted in ELSEWHERE:
            answer = signed_in.get("/admin/login/", {"next": wanted})
            self.assertRedirects(answer, "/admin/", fetch_redirect_response=False)

    def test_next_to_another_site_leads_home_after_log_out(self):
        for wanted in ELSEWHERE:
            with self.subTest(wanted):
                browser = self.staff()
                answer = browser.post(f"/admin/logout/?next={quote(wanted)}", follow=True)
                self.assertEqual(answer.status_code, 200)
                self.assertNotIn("evil", str(answer.redirect_chain))
