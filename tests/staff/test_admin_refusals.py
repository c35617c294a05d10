"""Tests of refusals in the admin: shown in its frame with a way back, and only there."""

from django.test import Client, override_settings

from tests.support.cast import Answer, ApiTestCase
from tests.support.staff import log_in, member_of

FRAME, MENU, HOME = 'id="user-tools"', 'aria-label="Main"', 'href="/admin/">Go to the first page'


class AdminRefusalTests(ApiTestCase):
    def assertFramed(self, answer: Answer, status: int, title: str) -> None:
        self.assertContains(answer, f"<h1>{title}</h1>", status_code=status)
        self.assertContains(answer, HOME, status_code=status)
        self.assertIn("no-store", answer["Cache-Control"])
        self.assertIn("default-src 'self'", answer["Content-Security-Policy"])

    def test_admin_refusal_has_the_menu_and_a_way_back(self):
        colleague = Client()
        log_in(colleague, member_of("Auditors"))
        not_found, forbidden = "There is no such page", "Your account may not do this"
        unread = "This request could not be read"
        alone = "This address cannot be opened by itself"
        many = {str(number): "" for number in range(1001)}
        for browser, method, path, sent, status, title in (
            (self.staff(), "get", "/admin/nothing/", {}, 404, not_found),
            (self.staff(), "get", "/admin/apikeys/nothing/", {}, 404, not_found),
            (colleague, "get", "/admin/apikeys/apikey/add/", {}, 403, forbidden),
            (colleague, "post", "/admin/staff/user/add/", {"username": "x"}, 403, forbidden),
            (self.staff(), "post", "/admin/apikeys/apikey/add/", many, 400, unread),
            (self.staff(), "get", "/admin/logout/", {}, 405, alone),
        ):
            with self.subTest(path=path, method=method, status=status):
                answer = getattr(browser, method)(path, sent)
                self.assertFramed(answer, status, title)
                self.assertEqual("Allow" in answer, status == 405)
                for part in (FRAME, MENU):
                    self.assertContains(answer, part, status_code=status)

    def test_forged_or_expired_form_is_refused_with_a_link_to_its_page(self):
        insider = Client(enforce_csrf_checks=True)
        log_in(insider, self.sam)
        for browser, path, has_menu in (
            (insider, "/admin/apikeys/apikey/add/?organization=x", True),
            (insider, "/admin/second_factor/set_up/", True),
            (Client(enforce_csrf_checks=True), "/admin/login/?next=/admin/", False),
        ):
            with self.subTest(path):
                answer = browser.post(path, {"name": "CI"})
                self.assertFramed(answer, 403, "This form could not be checked")
                self.assertContains(answer, f'href="{path}">Open the page anew', status_code=403)
                self.assertEqual(MENU in answer.content.decode(), has_menu)

    @override_settings(DEBUG=True)
    def test_django_debug_404_is_not_shown_to_staff(self):
        page = self.staff().get("/admin/nothing/")
        self.assertContains(page, "There is no such page", status_code=404)

    def test_refusal_outside_the_admin_has_no_admin_frame(self):
        browser = Client(enforce_csrf_checks=True)
        for path, kind in (("/nothing", "text/html"), ("/v1/nothing", "application/json")):
            answer = browser.get(path)
            self.assertEqual((answer.status_code, FRAME in answer.content.decode()), (404, False))
            self.assertIn(kind, answer["Content-Type"])
        self.assertNotContains(browser.post("/"), "ReachScore keys", status_code=403)
