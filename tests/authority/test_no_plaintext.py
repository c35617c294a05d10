"""Tests that no plaintext stays: keys are sent wherever one fits, then searched for.

One key is sent in every spelling, and again after its revocation. Keys of the other origins
differ
in their making only, so they are sent once and in plain; except that bugs, and the queries and
forms of the admin's key pages, get them in every spelling. They are searched for everywhere.
"""

import html
import io
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any, Final
from unittest import mock
from urllib.parse import quote, unquote, urljoin, urlsplit

from django.contrib.admin.utils import quote as admin_quote
from django.contrib.auth.models import Group
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import Model
from django.test import Client, RequestFactory, override_settings
from django.urls import resolve
from django.utils import timezone

from accounts.models import Plan
from apikeys.models import ApiKey, ScopeGrant
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent
from staff.models import SecondFactor, User
from tests.support.admin_pages import PostForms, admin_patterns, page_url
from tests.support.captured import captured_logs
from tests.support.cast import Answer, ApiClient, ApiTestCase
from tests.support.dump import dumped
from tests.support.staff import filled_in, member_of
from web.telemetry.logs import JsonFormatter, TextFormatter

ADMIN_MODELS = (
    "audit/auditevent",
    "accounts/organization",
    "accounts/plan",
    "staff/user",
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
    "/docs/guides/{}.md",
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
    "/admin/staff/user/{}/password/",
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
    "/docs/guides/keys",
    "/v1/leak_reports/github",
    "/docs/reference",
    "/docs/search",
    "/llms.txt",
    "/healthz",
)
ADMIN_PAGES = (
    "/admin/",
    "/admin/login/",
    "/admin/jsi18n/",
    "/admin/password_change/",
    "/admin/second_factor/",
    "/admin/second_factor/set_up/",
    "/admin/autocomplete/",
    *(f"/admin/{model}/" for model in ADMIN_MODELS),
    *(f"/admin/{model}/add/" for model in ADMIN_MODELS),
)
PASSWORD: Final = "a battery, 2 staples"
EDITED: Final = {"name": "n", "allowed_ips": "192.0.2.7", "max_tests_per_month": "5", "reason": "r"}
# Every form of the admin that has a field, by the name of its action, with valid values. A field
# that is left out here has a value on the page.
FORMS: Final[dict[str, dict[str, str]]] = {
    "login": {"username": "sam", "password": "wrong"},
    "password_change": {
        "old_password": "wrong",
        "new_password1": "horse battery",
        "new_password2": "horse battery",
    },
    "second_factor": {"code": "000000"},
    "second_factor_set_up": {"code": "000000"},
    "passkey_add": {"next": "/admin/"},
    "passkey_log_in": {"next": "/admin/"},
    "staff_user_add": {
        "username": "alex",
        "password1": PASSWORD,
        "password2": PASSWORD,
    },
    "staff_user_change": {"first_name": "", "last_name": "", "email": ""},
    "staff_user_reset_second_factor": {"reason": "r"},
    "auth_user_password_change": {"password1": PASSWORD, "password2": PASSWORD},
    "auth_group_add": {"name": "n"},
    "auth_group_change": {"name": "n"},
    "auth_group_delete": {},
    "accounts_organization_add": {"name": "n", "reason": "r"},
    "accounts_organization_plan": {"reason": "r"},
    "accounts_organization_contacts": {"contacts": "ops@example.com", "reason": "r"},
    "accounts_organization_leak_policy": {"on_leak": "notify", "reason": "r"},
    "accounts_organization_rename": {"name": "n", "reason": "r"},
    "accounts_organization_suspend": {"reason": "r"},
    "accounts_organization_resume": {"reason": "r"},
    "audit_auditevent_export": {},
    "apikeys_apikey_add": {**EDITED, "expires_at_0": "", "expires_at_1": ""},
    "apikeys_apikey_find": {"q": "n"},
    "apikeys_apikey_changelist": {"action": "revoke_selected"},
    "apikeys_apikey_rotate": {"reason": "r"},
    "apikeys_apikey_finish-rotation": {"reason": "r"},
    "apikeys_apikey_narrow": {"reason": "r"},
    "apikeys_apikey_edit": EDITED,
    "apikeys_apikey_revoke": {"reason": "r"},
    "apikeys_apikey_revoke-made": {"reason": "r"},
    "apikeys_apikey_bulk_revoke": {"reason": "r"},
    "apikeys_apikey_bulk_narrow": {"include_managing": "on", "reason": "r"},
}
PAGES_OF_KEYS = tuple(page for page in ADMIN_PAGES if "/apikey/" in page)


def spellings(key: str) -> list[str]:
    """Return the key plain, percent-encoded in two ways, encoded twice, and as in admin URLs."""
    everywhere = "".join(f"%{ord(c):02X}" for c in key)
    return [key, key.replace("_", "%5F"), everywhere, quote(everywhere), admin_quote(key)]


Form = tuple[Client, str, dict[str, str]]  # The browser that sees it, its action, its fields.


class Presenter:
    """Sends one key wherever a request has room for one; keeps the cookies and answers."""

    def __init__(self, key: str, browser: Client, *, thoroughly: bool) -> None:
        self.key = key
        self.spelled = spellings(key) if thoroughly else [key]
        self.admin_pages = ADMIN_PAGES if thoroughly else PAGES_OF_KEYS
        self.stays: list[str] = []
        self.api: list[str] = []
        self.clients = (ApiClient(key), Client(), browser)
        for client in self.clients:
            client.raise_request_exception = False

    def everywhere(self, forms: list[Form]) -> None:
        """Send the key over the API, without credentials, and in the admin's forms if given."""
        self._around(Client(), PUBLIC_PAGES, ("/v1/auth/me", "/admin/login/"))
        self._around(self.clients[0], PUBLIC_PAGES, ("/v1/auth/me", "/v1/nope"))
        if forms:
            self._around(self.clients[-1], self.admin_pages, ("/admin/apikeys/apikey/",))
        for client in self.clients:
            for body in self._bodies():
                self._keep(client.post("/v1/keys", body, content_type="application/json"))
                self._keep(client.post("/v1/keys", body, content_type=self.key))
            self._keep(client.generic(self.key, "/v1/auth/me"))
        for client, url, form in forms:
            for field in form:
                for text in (self.key, f"a {self.key.replace('_', '%5F')}")[: len(self.spelled)]:
                    self._keep(client.post(url, {**form, field: text}))

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
        """Keep cookies, decoded as the service decodes them, and every answer of the API."""
        for name, morsel in response.cookies.items():
            self.stays.append(morsel.OutputString())
            if name == "messages" and morsel.value:
                storage: Any = CookieStorage(RequestFactory().get("/"))
                decoded = storage._decode(morsel.value)
                self.stays += [str(message) for message in decoded or []]
        if response.streaming:
            self.stays.append(b"".join(response).decode())
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
        fields = {"name": "From the admin", "scopes": ["tests:read"], "reason": "r"}
        owner = {"organization": self.acme.id, "livemode": "test"}
        return filled_in(self.browser, "/admin/apikeys/apikey/add/", **owner, **fields)

    def _from_admin(self) -> str:
        page = self.browser.post("/admin/apikeys/apikey/add/", self._issue_form()).content.decode()
        found = re.search(r"rk_test_\w{47}", page)
        assert found
        return found[0]

    def _from_command(self) -> str:
        out = io.StringIO()
        call_command("issue_api_key", self.acme.id, "--name", "From a command", stdout=out)
        return out.getvalue().strip()

    def _forms(self) -> dict[str, Form]:
        """Return every form on any page of the admin, by the name of its action."""
        rotated, client = self.issue(name="Spare")
        self.rotate(client, rotated)
        parent, client = self.issue(name="Gone")
        self.make(client)
        revoke(parent, actor=Actor.cli())
        resting = self.organization("Resting", "free")
        resting.suspend(actor=Actor.cli(), reason="r")
        half_way, other = member_of(), User.objects.create_user("other", is_staff=True)
        for user in (half_way, other):
            SecondFactor.objects.create(user=user, key=SecondFactor.new_key())
        rows: dict[str, Model] = {
            "apikeys_apikey": rotated,
            "apikeys_apikey_revoke-made": parent,
            "accounts_organization": self.acme,
            "accounts_organization_resume": resting,
            "accounts_plan": Plan.objects.get(pk="team"),
            "audit_auditevent": AuditEvent.objects.earliest("created_at"),
            "staff_user": other,
            "auth_user": other,
            "auth_group": Group.objects.create(name="Spare"),
            "view_on_site": self.sam,
        }
        browsers = {"login": Client(), "second_factor": Client()}
        browsers["second_factor"].force_login(half_way)
        ScopeGrant.objects.update(granted_at=timezone.now() - timedelta(days=31))
        ScopeGrant.objects.filter(scope="tests:read").update(last_exercised_on="2026-01-01")
        forms: dict[str, Form] = {}
        for pattern in admin_patterns():
            if pattern.name and pattern.name not in ("logout", "second_factor_leave"):
                browser, url = browsers.get(pattern.name, self.browser), page_url(pattern, rows)
                page = browser.get(url, {"organization": self.acme.pk})
                if page.status_code == 200 and page["Content-Type"].startswith("text/html"):
                    for action, fields in PostForms(page.content.decode()).forms:
                        fields.pop("csrfmiddlewaretoken", None)
                        whole = urljoin(url, action)
                        if fields:
                            name = resolve(urlsplit(whole).path).url_name
                            forms[str(name)] = (browser, whole, fields)
        forms["apikeys_apikey_add"][2]["organization"] = self.acme.pk
        return forms

    def test_every_admin_form_is_tabled_with_values_that_it_accepts(self):
        forms = self._forms()
        self.assertEqual(set(forms), set(FORMS))
        for name, (browser, url, fields) in forms.items():
            with self.subTest(name), transaction.atomic():
                self.assertLessEqual(set(FORMS[name]), set(fields))
                page = browser.post(url, fields | FORMS[name]).getvalue().decode()
                is_wrong = {"wrong", "000000"} & set(FORMS[name].values())
                self.assertEqual("errorlist" in page or "errornote" in page, bool(is_wrong))
                transaction.set_rollback(True)

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
        """Break a view of the API, a page and a middleware with the key in the exception.

        In every spelling for each origin, because the log has two formatters.
        """
        for text in spellings(presenter.key):
            for broken, url in (
                ("apikeys.authentication.caller.Caller.auth_context", "/v1/auth/me"),
                ("web.exception_handlers.refusals.ResourceNotFound", "/v1/nope"),
                ("staff.keys.keys.ApiKeyAdmin.get_queryset", "/admin/apikeys/apikey/"),
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
        """Check that neither the key nor its secret part is there, as written or decoded."""
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
            filled = [
                (browser, url, fields | FORMS[name])
                for name, (browser, url, fields) in self._forms().items()
                if thoroughly or name.startswith("apikeys")
            ]
            presenter.everywhere(filled)
            self._bugs(presenter)
            self._commands(key)  # The last command revokes the key.
            self.assertRefused(ApiClient(key).get("/v1/auth/me"), 401, "api_key_invalid")
            if thoroughly:
                presenter.everywhere([])
                self._bugs(presenter)
        self.assertNowhere(
            key,
            {
                "database": dumped(),
                "audit": str(list(AuditEvent.objects.values())),
                "log": logs.getvalue(),
                "cookies, request ids, error pages": "\n".join(presenter.stays),
                "answers of the API": "\n".join(presenter.api),
                "admin": self._admin_pages(),
                "OpenAPI": self.client.get("/v1/openapi.json").content.decode(),
            },
        )
        self.assertIn("broke on", logs.getvalue())

    def test_key_made_over_the_api_stays_nowhere(self):
        self._present_and_search("api", JsonFormatter, thoroughly=True)

    def test_key_made_in_the_admin_stays_nowhere(self):
        self._present_and_search("admin", TextFormatter)

    def test_key_made_by_a_command_stays_nowhere(self):
        self._present_and_search("command", JsonFormatter)

    def test_plaintext_search_finds_a_planted_key(self):
        """Each searched place gets a key planted, past every rule."""
        key = self.keys["api"]
        for spelling in spellings(key):
            with self.assertRaises(AssertionError):
                self.assertNowhere(key, {"text": f"…{spelling}…"})
        ApiKey.objects.filter(name="From the API").update(name=key)
        for place in (dumped(), self._admin_pages()):
            with self.assertRaises(AssertionError):
                self.assertNowhere(key, {"place": place})
