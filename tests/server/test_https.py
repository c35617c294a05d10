"""Tests of HTTPS: in production the API takes keys over HTTPS only, as trusted proxies tell it."""

import json

from django.test import Client, SimpleTestCase, override_settings

from tests.server.test_settings import PRODUCTION, python
from tests.support.cast import ApiTestCase

HTTPS = {"X-Forwarded-Proto": "https"}
SHOW = (
    "from django.conf import settings as s; import json; print(json.dumps([s.SECURE_SSL_REDIRECT, "
    "s.SECURE_HSTS_SECONDS, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.TRUSTED_PROXY_COUNT]))"
)
YEAR = 31_536_000


def behind(proxies: int) -> override_settings:
    """Override settings as in production behind this number of proxies."""
    return override_settings(
        SECURE_SSL_REDIRECT=True, SECURE_HSTS_SECONDS=YEAR, TRUSTED_PROXY_COUNT=proxies
    )


class ApiOverHttpsTests(ApiTestCase):
    def test_request_over_plain_http_is_https_required_without_a_query(self):
        _, client = self.issue()
        for proxies, headers in [
            (0, {}),
            (0, HTTPS),  # No trusted proxy wrote this.
            (1, {}),
            (1, {"X-Forwarded-Proto": "http"}),
            (1, {"X-Forwarded-Proto": "https, http"}),
            (1, {"X-Forwarded-Proto": "httpss"}),
            (2, {"X-Forwarded-Proto": "https, http, https"}),
        ]:
            for path in ("/v1/auth/me", "/v1/nope", "/v1/keys/", "/v1", "/v1/openapi.json"):
                with self.subTest(path, headers=headers), behind(proxies), self.assertNumQueries(0):
                    response = client.get(path, headers=headers)
                    error = self.assertRefused(response, 400, "https_required")
                    self.assertIn("rotate it", error["fix"])
                    # RFC 6797 §7.2 forbids it over plain HTTP.
                    self.assertNotIn("Strict-Transport-Security", response.headers)

    def test_request_over_https_works_and_carries_hsts(self):
        _, client = self.issue()
        for proxies, headers in [
            (1, HTTPS),
            (1, {"X-Forwarded-Proto": "http, https"}),  # The client's own entry on the left.
            (2, {"X-Forwarded-Proto": "https, http"}),
            (2, HTTPS),  # Two proxies; the inner one passes the outer one's value on.
        ]:
            with self.subTest(headers=headers), behind(proxies):
                response = client.get("/v1/auth/me", headers=headers)
                self.assertEqual(response.status_code, 200)
                self.assertIn(f"max-age={YEAR}", response["Strict-Transport-Security"])

    def test_pages_redirect_to_https_and_probes_and_development_do_not(self):
        with behind(1):
            for path in ("/", "/docs", "/docs/errors", "/admin/login/?next=/admin/"):
                response = Client().get(path)
                self.assertEqual(response.status_code, 301)
                self.assertEqual(response["Location"], f"https://testserver{path}")
                self.assertEqual(Client().get(path, headers=HTTPS).status_code, 200)
            self.assertEqual(Client().get("/healthz").status_code, 200)
            self.assertEqual(Client().get("/readyz").status_code, 200)
        self.assertEqual(self.client.get("/").status_code, 200)
        self.assertEqual(self.issue()[1].get("/v1/auth/me").status_code, 200)


class SettingsTests(SimpleTestCase):
    def test_https_settings_are_on_in_production_and_off_in_development(self):
        shown = json.loads(python(SHOW, **PRODUCTION, TRUSTED_PROXY_COUNT="2").stdout)
        self.assertEqual(shown, [True, YEAR, True, True, 2])
        self.assertEqual(json.loads(python(SHOW).stdout), [False, 0, False, False, 0])

    def test_hsts_preload_is_sent_only_if_set(self):
        show = SHOW.replace("s.TRUSTED_PROXY_COUNT", "s.SECURE_HSTS_PRELOAD")
        for environ, preload in [({}, False), ({"HSTS_PRELOAD": "true"}, True)]:
            shown = json.loads(python(show, **PRODUCTION, **environ).stdout)
            self.assertEqual(shown, [True, YEAR, True, True, preload])
            with behind(1), override_settings(SECURE_HSTS_PRELOAD=shown[-1]):
                for path in ("/v1/auth/me", "/docs"):
                    header = Client().get(path, headers=HTTPS)["Strict-Transport-Security"]
                    self.assertEqual("preload" in header, preload, path)


class StaffOverHttpsTests(ApiTestCase):
    def test_staff_can_log_in_behind_an_https_proxy(self):
        browser = Client(enforce_csrf_checks=True, headers={**HTTPS, "Host": "testserver"})
        with behind(1):
            token = browser.get("/admin/login/").context["csrf_token"]
            response = browser.post(
                "/admin/login/?next=/admin/",
                {"username": "sam", "password": "correct horse", "csrfmiddlewaretoken": str(token)},
                headers={"Origin": "https://testserver"},
            )
        self.assertEqual((response.status_code, response["Location"]), (302, "/admin/"))

    def test_doc_url_is_of_public_url_for_every_host_and_scheme(self):
        with behind(1), override_settings(PUBLIC_URL="https://api.example"):
            for headers, code in (
                ({**HTTPS, "Host": "testserver"}, "api_key_missing"),
                ({"Host": "testserver"}, "https_required"),
                ({**HTTPS, "Host": "evil.example"}, "host_not_allowed"),
            ):
                error = Client(headers=headers).get("/v1/auth/me").json()["error"]
                self.assertEqual(error["doc_url"], f"https://api.example/docs/errors#{code}")

    def test_plain_http_page_redirects_unless_its_address_holds_a_key(self):
        key = self.issue()[1].key
        with behind(1):
            plain = Client().get("/docs?a=1")
            holding = Client().get(f"/docs?q={key}")
        self.assertEqual(plain.status_code, 301)
        self.assertEqual(holding.status_code, 400)
        self.assertNotIn(key[17:], str(holding.headers) + holding.content.decode())
