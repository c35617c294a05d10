"""Tests of the pages' security headers: a strict Content-Security-Policy and nothing inline."""

import re
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.test import Client, TestCase, override_settings
from django.utils import timezone

from tests.support.cast import ApiTestCase

ROOT = Path(__file__).resolve().parents[2]
STRICT = {
    "default-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "object-src 'none'",
}
DOCS_PAGES = (
    *("/docs", "/docs/errors", "/docs/guides/quickstart", "/docs/search?q=key"),
    *("/scanner-rules/", "/revoke"),
)
ADMIN_PAGES = (
    "/admin/",
    "/admin/password_change/",
    "/admin/apikeys/apikey/",
    "/admin/apikeys/apikey/add/",
    "/admin/accounts/organization/add/",
    "/admin/audit/auditevent/",
    "/admin/accounts/plan/team/change/",
    "/admin/staff/user/add/",
    "/admin/nothing/",
)
INLINE = re.compile(
    r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE
)


class SecurityTxtTests(TestCase):
    def test_security_txt_names_the_contact_or_is_404_without_one(self):
        path = "/.well-known/security.txt"
        self.assertEqual(self.client.get(path).status_code, 404)
        with override_settings(SECURITY_CONTACT="mailto:security@example.com"):
            answer = self.client.get(path)
        self.assertEqual(answer["Content-Type"], "text/plain; charset=utf-8")
        lines = dict(line.split(": ", 1) for line in answer.text.splitlines())
        self.assertEqual(lines["Contact"], "mailto:security@example.com")
        self.assertEqual(lines["Canonical"], f"{settings.PUBLIC_URL}{path}")
        self.assertIn(f"{settings.PUBLIC_URL}/revoke", lines["# An exposed API key"])
        left = datetime.fromisoformat(lines["Expires"]) - timezone.now()
        self.assertTrue(timedelta(days=170) < left < timedelta(days=365))


class ContentSecurityPolicyTests(ApiTestCase):
    def test_every_page_but_the_api_reference_has_the_strict_csp(self):
        browser = self.staff()
        anonymous = ("/", *DOCS_PAGES, "/admin/login/", "/nope", "/healthz", "/favicon.ico")
        for client, paths in ((Client(), anonymous), (browser, ADMIN_PAGES)):
            for path in paths:
                with self.subTest(path):
                    policy = client.get(path)["Content-Security-Policy"]
                    self.assertEqual(set(policy.split("; ")), STRICT)

    def test_api_reference_csp_adds_inline_style_and_data_images_only(self):
        policy = set(self.client.get("/docs/reference")["Content-Security-Policy"].split("; "))
        self.assertEqual(
            policy - STRICT, {"style-src 'self' 'unsafe-inline'", "img-src 'self' data:"}
        )
        self.assertLess(STRICT, policy)

    def test_api_answer_has_the_strict_csp_too(self):
        for path in ("/v1/nope", "/v1/openapi.json", "/v1/auth/me?key=x"):
            policy = set(self.client.get(path)["Content-Security-Policy"].split("; "))
            self.assertEqual(policy, STRICT)

    def test_page_holds_no_inline_script_or_style(self):
        browser = self.staff()
        for path in ("/", *DOCS_PAGES, *ADMIN_PAGES):
            with self.subTest(path):
                self.assertNotRegex(browser.get(path).content.decode(), INLINE)
        mails = set((ROOT / "templates/mail").iterdir())  # In which nothing else has an effect.
        for template in {*(ROOT / "templates").rglob("*.html")} - mails:
            with self.subTest(template.name):
                self.assertNotRegex(template.read_text(), INLINE)

    def test_post_without_a_csrf_token_gets_our_403_page(self):
        browser = Client(enforce_csrf_checks=True)
        response = browser.post("/admin/login/", {"username": "sam"})
        self.assertContains(response, "could not be checked", status_code=403)
        self.assertEqual(set(response["Content-Security-Policy"].split("; ")), STRICT)
        self.assertNotRegex(response.content.decode(), INLINE)


class FaviconTests(ApiTestCase):
    def test_page_names_the_icon_and_favicon_ico_redirects_to_it(self):
        browser = self.staff()
        for path in ("/", "/docs/reference", *DOCS_PAGES, "/admin/", "/admin/apikeys/apikey/add/"):
            self.assertContains(browser.get(path), "/static/reachscore/favicon.svg")
        self.assertContains(self.client.get("/admin/login/"), "/static/reachscore/favicon.svg")
        self.assertRedirects(
            self.client.get("/favicon.ico"),
            "/static/reachscore/favicon.svg",
            fetch_redirect_response=False,
        )
