"""Tests of GATEWAY_TOKEN: the gateway's one header decides address and scheme."""

import hashlib
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from audit.models import AuditEvent
from reachscore import urls
from tests.support.captured import captured_logs
from tests.support.cast import ApiTestCase
from web.proxies import UnreadableHeader, read_proxies

# The same in every process: they are part of the names of the tests.
TOKEN, OLD_TOKEN, WRONG = (hashlib.sha256(name).hexdigest() for name in (b"new", b"old", b"no"))
FORWARDED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
CLIENT = "for=192.0.2.7 proto=https"


def fault(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a bug")


urlpatterns = [path("fault", fault), *urls.urlpatterns]


@pytest.fixture
def tokens(settings):
    settings.GATEWAY_TOKENS = (TOKEN.encode(), OLD_TOKEN.encode())


def environ(said: str | None) -> dict[str, Any]:
    """Return the WSGI environ of a request that also carries headers not to be believed."""
    made = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "192.0.2.2"}
    return made if said is None else {**made, "HTTP_REACHSCORE_GATEWAY": said}


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (None, (None, "http")),
        (f"{TOKEN} for=203.0.113.7 proto=https", ("203.0.113.7", "https")),
        (f"{OLD_TOKEN} for=203.0.113.7 proto=http", ("203.0.113.7", "http")),
        (f"{TOKEN} proto=https for=2001:DB8:0::7", ("2001:db8::7", "https")),
        (f"{TOKEN} for=::ffff:203.0.113.7 proto=https", ("203.0.113.7", "https")),
    ],
)
def test_gateway_header_with_a_right_token_is_read_and_removed(tokens, said, read):
    given = environ(said)
    assert read_proxies(given)[:2] == read
    assert given == environ(None)


@pytest.mark.parametrize(
    "said",
    [
        "",
        " ",
        TOKEN,
        CLIENT,
        f" {CLIENT}",
        f"{WRONG} {CLIENT}",
        f"{TOKEN[:-1]} {CLIENT}",
        f"{TOKEN}= {CLIENT}",
        f"{TOKEN},{OLD_TOKEN} {CLIENT}",
        f"{TOKEN} {CLIENT},{TOKEN} {CLIENT}",  # The header twice, as the server joins it.
        f"{TOKEN}é {CLIENT}",
        f"\udc80 {CLIENT}",
        f"{TOKEN}\t{CLIENT}",
        f"{TOKEN}  {CLIENT}",
        f"{TOKEN} {CLIENT} ",
        f"{TOKEN} for=192.0.2.7",
        f"{TOKEN} proto=https",
        f"{TOKEN} {CLIENT} for=192.0.2.7",
        f"{TOKEN} {CLIENT} proto=http",
        f"{TOKEN} {CLIENT} host=evil",
        f"{TOKEN} {CLIENT} =x",
        f"{TOKEN} {CLIENT} for",
        f"{TOKEN} For=192.0.2.7 proto=https",
        *(
            f"{TOKEN} for={value} proto=https"
            for value in (
                "",
                "unknown",
                "unix:",
                "_hidden",
                "192.0.2.7:443",
                '"192.0.2.7"',
                "[2001:db8::7]",
                "fe80::1%eth0",
                "192.0.2.7/32",
                "192.0.2%2e7",
                "192.0.2.07",
                "192.0.2.7,192.0.2.8",
                "1" * 900,
            )
        ),
        *(f"{TOKEN} for=192.0.2.7 proto={value}" for value in ("", "HTTPS", "https,http", "ws")),
        f"{TOKEN} {CLIENT} " + "x" * 1000,
    ],
)
def test_gateway_header_with_any_other_value_is_refused_and_removed(tokens, said):
    given = environ(said)
    with pytest.raises(UnreadableHeader, match=r"^ReachScore-Gateway$"):
        read_proxies(given)
    assert given == environ(None)


def test_gateway_header_without_configured_tokens_is_ignored_and_removed(settings):
    settings.GATEWAY_TOKENS, settings.TRUSTED_PROXY_COUNT = (), 1
    given = environ(f"{TOKEN} for=203.0.113.7 proto=https")
    assert read_proxies(given)[:2] == ("192.0.2.2", "http")
    assert given == environ(None)


@override_settings(
    GATEWAY_TOKENS=(TOKEN.encode(),), SECURE_SSL_REDIRECT=True, TRUSTED_PROXY_COUNT=1
)
class GatewayTests(ApiTestCase):
    def by(self, token: str = TOKEN, client: str = CLIENT) -> dict[str, str]:
        return {**FORWARDED, "ReachScore-Gateway": f"{token} {client}"}

    def test_allowed_ips_are_checked_against_the_address_the_gateway_names(self):
        _, here = self.issue(allowed_ips=["192.0.2.7"])
        _, elsewhere = self.issue(allowed_ips=["203.0.113.7"])
        self.assertEqual(here.get("/v1/auth/me", headers=self.by()).status_code, 200)
        self.assertRefused(elsewhere.get("/v1/auth/me", headers=self.by()), 403, "ip_not_allowed")
        with override_settings(SECURE_SSL_REDIRECT=False):  # Else refused before authentication.
            for key in (here, elsewhere):
                answer = key.get("/v1/auth/me", headers=FORWARDED)
                self.assertRefused(answer, 403, "ip_not_allowed")

    def test_audit_event_has_the_address_the_gateway_names(self):
        _, client = self.issue()
        client.send("/v1/keys", {"name": "new"}, **self.by())
        self.assertEqual(AuditEvent.objects.latest("created_at").ip, "192.0.2.7")

    def test_request_without_gateway_header_is_https_required_and_probes_work(self):
        _, client = self.issue()
        for headers in ({}, FORWARDED, self.by(client="for=192.0.2.7 proto=http")):
            answer = client.get("/v1/auth/me", headers=headers)
            self.assertRefused(answer, 400, "https_required")
        for probe in ("/healthz", "/readyz"):
            self.assertEqual(self.client.get(probe).status_code, 200)
        with override_settings(METRICS_TOKEN="m" * 16):
            headers = {"Authorization": f"Bearer {'m' * 16}"}
            self.assertEqual(self.client.get("/metrics", headers=headers).status_code, 200)

    def test_wrong_gateway_token_is_refused_in_json_outside_the_admin_and_shown_nowhere(self):
        _, client = self.issue()
        for token in (WRONG, f"{TOKEN},{TOKEN}"):
            for path_ in ("/v1/auth/me", "/v1/nope", "/", "/docs", "/static/x", "/readyz"):
                with self.subTest(path_), captured_logs() as logs, self.assertNumQueries(0):
                    answer = client.get(path_, headers=self.by(token))
                    self.assertRefused(answer, 400, "request_invalid", field="ReachScore-Gateway")
                    (line,) = logs.lines
                    self.assertIn('"address": null', line)
                    for text in (answer.content.decode(), str(answer.headers), line):
                        self.assertNotIn(token[:8], text)

    def test_gateway_token_is_in_no_debug_page_and_no_log_line(self):
        self.client.raise_request_exception = False
        with override_settings(DEBUG=True, ROOT_URLCONF=__name__), captured_logs() as logs:
            page = self.client.get("/fault", headers=self.by()).content.decode()
        self.assertIn("HTTP_X_FORWARDED_FOR", page)  # The debug page shows the request's headers.
        self.assertIn("a bug", logs.getvalue())
        for text in (page, logs.getvalue()):
            self.assertNotIn(TOKEN[:8], text)


@override_settings(TRUSTED_PROXY_COUNT=1)
class EmptiedHeaderTests(ApiTestCase):
    def test_emptied_forwarded_header_is_refused_and_named(self):
        _, client = self.issue()
        for name in FORWARDED:
            for path_ in ("/v1/auth/me", "/docs"):
                with self.subTest(name, path=path_):
                    answer = client.get(path_, headers={**FORWARDED, name: ""})
                    self.assertRefused(answer, 400, "request_invalid", field=name)
