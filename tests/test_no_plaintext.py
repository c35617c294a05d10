"""No plaintext anywhere: keys are presented wherever one fits, then looked for where one stays.

One key in every spelling, and again after its revocation. What another origin changes is the making
alone, so keys of the others are presented once, plain but for bugs, and of the admin's queries in
those of the keys' pages; they are looked for everywhere, too.
"""

import html
import io
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any
from unittest import mock
from urllib.parse import quote, unquote

from django.contrib.admin.utils import quote as admin_quote
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, RequestFactory, override_settings

from accounts.models import AuditEvent
from apikeys.models import ApiKey
from reachscore.api.logs import JsonFormatter, TextFormatter
from tests.captured import captured_logs
from tests.cast import Answer, ApiClient, ApiTestCase

ADMIN_MODELS = (
    "accounts/auditevent",
    "accounts/organization",
    "accounts/plan",
    "accounts/user",
    "apikeys/apikey",
    "auth/group",
)
HEADERS = (
    "Accept",
    "Accept-Language",
    "Api-Key",
    "Authorization",
    "Content-Type",
    "Cookie",
    "Forwarded",
    "Host",
    "If-None-Match",
    "Origin",
    "Range",
    "Referer",
    "Request-Id",
    "User-Agent",
    "X-Api-Key",
    "X-CSRFToken",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Request-Id",
)
PATHS = (
    "/{}",
    "/v1/{}",
    "/v1/keys/{}",
    "/v1/auth/me/{}",
    "/docs/{}",
    "/static/{}",
    "/admin/{}",
    "/admin/{}/",
    "/admin/apikeys/{}/",
    "/admin/apikeys/apikey/{}/",
    "/admin/apikeys/apikey/{}/change/",
    "/admin/apikeys/apikey/{}/history/",
    "/admin/apikeys/apikey/{}/delete/",
    "/admin/apikeys/apikey/{}/revoke/",
    "/admin/accounts/organization/{}/suspend/",
    "/admin/accounts/user/{}/password/",
    "/admin/r/{}/{}/",
)
QUERIES = (
    "key={}",
    "{}=1",
    "q={}",
    "next=/{}",
    "name__icontains={}",
    "{}__exact=1",
    "o={}&p={}",
    "_changelist_filters=q%3D{}",
    "name={}&username={}",
    "term={}&app_label=apikeys&model_name=apikey&field_name=organization",
)
PUBLIC_PAGES = (
    "/",
    "/v1/auth/me",
    "/v1/openapi.json",
    "/docs",
    "/docs/",
    "/docs/errors",
    "/healthz",
)
ADMIN_PAGES = (
    "/admin/",
    "/admin/login/",
    "/admin/jsi18n/",
    "/admin/password_change/",
    "/admin/password_again/",
    "/admin/second_factor/",
    "/admin/second_factor/set_up/",
    "/admin/autocomplete/",
    *(f"/admin/{model}/" for model in ADMIN_MODELS),
    *(f"/admin/{model}/add/" for model in ADMIN_MODELS),
)
PAGES_OF_KEYS = tuple(page for page in ADMIN_PAGES if "/apikey/" in page)


def spellings(key: str) -> list[str]:
    """Return the key plain, percent-encoded in two ways, twice over, and as admin URLs have it."""
    everywhere = "".join(f"%{ord(c):02X}" for c in key)
    return [key, key.replace("_", "%5F"), everywhere, quote(everywhere), admin_quote(key)]


class Presenter:
    """Sends one key wherever a request has room for one; remembers what came back to stay."""

    def __init__(self, key: str, browser: Client, *, thoroughly: bool) -> None:
        self.key = key
        self.spelled = spellings(key) if thoroughly else [key]
        self.admin_pages = ADMIN_PAGES if thoroughly else PAGES_OF_KEYS
        self.stays: list[str] = []
        self.api: list[str] = []
        self.clients = (ApiClient(key), Client(), browser)
        for client in self.clients:
            client.raise_request_exception = False

    def everywhere(self, forms: list[tuple[str, dict[str, Any]]]) -> None:
        """Send it over the API and without credentials; and where forms are given, in the admin."""
        self._around(Client(), PUBLIC_PAGES, ("/v1/auth/me", "/admin/login/"))
        self._around(self.clients[0], PUBLIC_PAGES, ("/v1/auth/me", "/v1/nope"))
        if forms:
            self._around(self.clients[-1], self.admin_pages, ("/admin/apikeys/apikey/",))
        for client in self.clients:
            for body in self._bodies():
                self._keep(client.post("/v1/keys", body, content_type="application/json"))
                self._keep(client.post("/v1/keys", body, content_type=self.key))
            self._keep(client.generic(self.key, "/v1/auth/me"))
        for url, form in forms:
            for field in form:
                for text in (self.key, f"a {self.key.replace('_', '%5F')}"):
                    self._keep(self.clients[-1].post(url, {**form, field: text}))

    def _around(self, client: Client, pages: tuple[str, ...], asked: tuple[str, ...]) -> None:
        client.raise_request_exception = False
        for url in self._urls(pages):
            self._keep(client.get(url))
            self._keep(client.post(url, {"name": self.key}))
        for page in asked:
            for headers in self._headers():
                self._keep(client.get(page, headers=headers))
                self._keep(client.post(page, {"username": self.key}, headers=headers))

    def _urls(self, pages: tuple[str, ...]) -> Iterator[str]:
        for spelling in self.spelled:
            for path in PATHS:
                yield path.format(*[spelling] * path.count("{}"))
        for page in pages:
            for query in QUERIES:
                yield f"{page}?{query.format(*[self.key] * query.count('{}'))}"

    def _headers(self) -> Iterator[dict[str, str]]:
        for name in HEADERS:
            for spelling in self.spelled[:3]:
                yield {name: spelling}
        yield {"Authorization": f"Bearer {self.key}"}
        yield {"Authorization": f"Basic {self.key}"}
        yield {"Accept": f"application/{self.key}; q={self.key}"}
        yield {"Referer": f"https://testserver/{self.key}", "Origin": f"https://{self.key}"}
        yield {"Cookie": "; ".join(f"{n}={self.key}" for n in ("messages", "csrftoken", self.key))}

    def _bodies(self) -> Iterator[object]:
        yield from ({name: self.key} for name in ("name", "scopes", "expires_at", "key", self.key))
        yield {"name": self.key.replace("_", "%5F")}
        yield {"name": "n", "scopes": [self.key]}
        yield {"name": "n", "scopes": [{self.key: self.key}]}
        yield {"name": {self.key: self.key}}
        yield f'{{"name": "{self.key}"'
        yield self.key

    def _keep(self, response: Answer) -> None:
        """Keep cookies, read as the service reads them; and every answer of the API."""
        for name, morsel in response.cookies.items():
            self.stays.append(morsel.OutputString())
            if name == "messages" and morsel.value:
                storage: Any = CookieStorage(RequestFactory().get("/"))
                decoded = storage._decode(morsel.value)
                self.stays += [str(message) for message in decoded or []]
        if response["Content-Type"].startswith("application/json"):
            self.api.append(response.content.decode())
        self.stays.append(response.get("Request-Id", ""))


class NoPlaintextTests(ApiTestCase):
    def setUp(self) -> None:
        self.browser = self.staff()
        self.keys = {
            "api": self._from_api(),
            "admin": self._from_admin(),
            "command": self._from_command(),
        }

    def _from_api(self) -> str:
        _, client = self.issue()
        key: str = client.send("/v1/keys", {"name": "From the API"}).json()["key"]
        return key

    def _issue_form(self) -> dict[str, Any]:
        page = self.browser.get("/admin/apikeys/apikey/add/").content.decode()
        found = re.search(r'name="key_id" value="([^"]+)"', page)
        assert found
        return {
            "key_id": found[1],
            "organization": self.acme.id,
            "livemode": "test",
            "name": "From the admin",
            "scopes": ["tests:read"],
            "expires_at_0": "",
            "expires_at_1": "",
        }

    def _from_admin(self) -> str:
        page = self.browser.post("/admin/apikeys/apikey/add/", self._issue_form()).content.decode()
        found = re.search(r"rk_test_\w{47}", page)
        assert found
        return found[0]

    def _from_command(self) -> str:
        out = io.StringIO()
        call_command("issue_api_key", self.acme.id, "--name", "From a command", stdout=out)
        return out.getvalue().strip()

    def _forms(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every form of the admin with values it takes."""
        organizations, users = "/admin/accounts/organization/", "/admin/accounts/user/"
        spare, _ = self.issue(name="Spare")
        rights = {"is_active": "on", "is_staff": "on", "is_superuser": "on"}
        user = {
            "username": "alex",
            "first_name": "",
            "last_name": "",
            "email": "",
            "password1": "correct horse battery",
            "password2": "correct horse battery",
            "usable_password": "true",
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
        }
        return [
            ("/admin/apikeys/apikey/add/", self._issue_form()),
            (f"/admin/apikeys/apikey/{admin_quote(spare.id)}/revoke/", {"reason": "r"}),
            ("/admin/apikeys/apikey/", {"action": "delete_selected", "_selected_action": "1"}),
            (f"{organizations}add/", {"name": "n", "plan": "free"}),
            (f"{organizations}{admin_quote(self.globex.id)}/suspend/", {"reason": "r"}),
            (f"{organizations}{admin_quote(self.globex.id)}/resume/", {"reason": "r"}),
            (f"{users}add/", user),
            (f"{users}{self.sam.pk}/change/", {**user, **rights, "username": "sam"}),
            ("/admin/auth/group/add/", {"name": "n", "permissions": ""}),
            ("/admin/password_again/", {"password": "wrong", "next": "/admin/"}),
            ("/admin/second_factor/set_up/", {"code": "000000", "next": "/admin/"}),
            ("/admin/login/", {"username": "sam", "password": "wrong", "next": "/admin/"}),
        ]

    def _commands(self, key: str) -> None:
        for command in (
            ("create_organization", key),
            ("create_organization", "n", "--plan", key),
            ("issue_api_key", key, "--name", "n"),
            ("issue_api_key", self.acme.id, "--name", key),
            ("issue_api_key", self.acme.id, "--name", "n", "--scope", key),
            ("issue_api_key", self.acme.id, "--name", "n", "--expires-at", key),
            ("revoke_api_key", key, "--reason", key),
            ("revoke_api_key", key, "--reason", "leaked"),
        ):
            with suppress(CommandError):
                call_command(*command, stdout=io.StringIO(), stderr=io.StringIO())

    def _bugs(self, presenter: Presenter) -> None:
        """Break a view of the API, a page and a piece of middleware over the key.

        In every spelling, whatever the origin: there are two formatters of the log.
        """
        for text in spellings(presenter.key):
            for broken, url in (
                ("apikeys.views.auth_context", "/v1/auth/me"),
                ("reachscore.api.handler.refusals.ResourceNotFound", "/v1/nope"),
                ("apikeys.admin.ApiKeyAdmin.get_queryset", "/admin/apikeys/apikey/"),
                ("django.core.handlers.base.BaseHandler.resolve_request", "/v1/auth/me"),
            ):
                for debug in (False, True) if text == presenter.key else (False,):
                    with ExitStack() as stack:
                        stack.enter_context(override_settings(DEBUG=debug))
                        bug = RuntimeError(f"broke on {text}")
                        bug.add_note(text)
                        stack.enter_context(mock.patch(broken, side_effect=bug))
                        for client in presenter.clients:
                            response = client.get(url)
                            self.assertIn(response.status_code, (302, 401, 500))
                            if response.status_code == 500:
                                presenter.stays.append(response.content.decode())

    def _database(self) -> str:
        """Return every row of every table as text."""
        rows: list[str] = []
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
            assert "django_session" in tables
            for table in tables:
                name = connection.ops.quote_name(table)
                cursor.execute(f"SELECT t::text FROM {name} t")
                rows += [row[0] for row in cursor.fetchall()]
        rows += [str(session.get_decoded()) for session in Session.objects.all()]
        return "\n".join(rows)

    def _admin_pages(self) -> str:
        browser = self.staff()
        pages = [browser.get("/admin/").content.decode()]
        for model in ADMIN_MODELS:
            pages.append(browser.get(f"/admin/{model}/?all=").content.decode())
            for link in re.findall(rf'href="(/admin/{model}/[^"]+/change/)', pages[-1]):
                urls = (link, link.replace("/change/", "/history/"))
                pages += [browser.get(url).content.decode() for url in urls]
        self.assertGreater(len(pages), 20)
        return "\n".join(pages)

    def assertNowhere(self, key: str, places: dict[str, str]) -> None:
        """Look for the whole key and its secret part, as written and as anyone may decode it."""
        for place, text in places.items():
            self.assertTrue(text, place)
            decoded = html.unescape(text).replace("_5F", "_")
            for _ in range(3):
                for needle in (key, key[17:]):
                    at = decoded.find(needle)
                    around = decoded[max(at - 200, 0) : at + 100].replace(needle, "<KEY>")
                    self.assertEqual(at, -1, f"{place}: …{around}…")
                decoded = unquote(decoded)

    def _present_and_search(
        self,
        origin: str,
        formatter: type[JsonFormatter | TextFormatter],
        *,
        thoroughly: bool = False,
    ) -> None:
        key = self.keys[origin]
        presenter = Presenter(key, self.browser, thoroughly=thoroughly)
        with captured_logs(formatter) as logs:
            presenter.everywhere(self._forms())
            self._bugs(presenter)
            self._commands(key)  # Revokes it at last.
            self.assertRefused(ApiClient(key).get("/v1/auth/me"), 401, "api_key_invalid")
            if thoroughly:
                presenter.everywhere([])
                self._bugs(presenter)
        self.assertNowhere(
            key,
            {
                "database": self._database(),
                "audit": str(list(AuditEvent.objects.values())),
                "log": logs.getvalue(),
                "cookies, request ids, error pages": "\n".join(presenter.stays),
                "answers of the API": "\n".join(presenter.api),
                "admin": self._admin_pages(),
                "OpenAPI": self.client.get("/v1/openapi.json").content.decode(),
            },
        )
        self.assertIn("broke on", logs.getvalue())

    def test_of_a_key_made_over_the_api(self):
        self._present_and_search("api", JsonFormatter, thoroughly=True)

    def test_of_a_key_made_in_the_admin(self):
        self._present_and_search("admin", TextFormatter)

    def test_of_a_key_made_by_a_command(self):
        self._present_and_search("command", JsonFormatter)

    def test_the_search_would_find_one(self):
        """Each place, with a key put there past every rule."""
        key = self.keys["api"]
        for spelling in spellings(key):
            with self.assertRaises(AssertionError):
                self.assertNowhere(key, {"text": f"…{spelling}…"})
        ApiKey.objects.filter(name="From the API").update(name=key)
        for place in (self._database(), self._admin_pages()):
            with self.assertRaises(AssertionError):
                self.assertNowhere(key, {"place": place})
