"""Tests of a migration beside a warm server: stale prepared statements fail no request."""

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.admin.utils import quote

from tests.support.production_server import OPENER, PROXIED, Answer, Database, ProductionServer

PASSWORD = "correct horse battery staple"
TOKEN = "a" * 32  # Of a form, as of the cookie.

CHANGES = {
    "a column is widened": ["ALTER TABLE apikeys_apikey ALTER COLUMN name TYPE varchar(120)"],
    "a column of another table is": [
        "ALTER TABLE accounts_organization ALTER COLUMN name TYPE varchar(300)"
    ],
    "a column is dropped and added": [
        "ALTER TABLE apikeys_apikey DROP COLUMN revoked_reason",
        "ALTER TABLE apikeys_apikey ADD COLUMN revoked_reason varchar(300) NOT NULL DEFAULT ''",
    ],
    "a parameter's type changes": [
        "ALTER TABLE apikeys_keysecret ALTER COLUMN pepper_id TYPE integer",
        "ALTER TABLE apikeys_apikey ALTER COLUMN created_by TYPE text",
    ],
    "a type that a trigger's function has planned with changes": [
        "ALTER TABLE audit_audithead ALTER COLUMN sequence TYPE integer"
    ],
    "a table is found elsewhere on the search_path": [
        "CREATE SCHEMA reachscore_app",
        "GRANT USAGE ON SCHEMA reachscore_app TO reachscore_app",
        "ALTER TABLE accounts_plan SET SCHEMA reachscore_app",
        "ALTER TABLE reachscore_app.accounts_plan ALTER COLUMN name TYPE varchar(300)",
    ],
}


@pytest.fixture(scope="module")
def database() -> Database:
    return Database()


@pytest.fixture(scope="module")
def server(database: Database) -> Iterator[ProductionServer]:
    production = ProductionServer(database, workers=1)
    production.environ["SECOND_FACTOR_REQUIRED"] = "false"
    production.environ["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    with production:
        yield production


class Use:
    """One use of everything the service does: reads, verbs and pages."""

    def __init__(self, server: ProductionServer) -> None:
        self.server = server
        organization = server.manage("create_organization", "Acme", "--plan", "enterprise")
        self.key = server.manage("issue_api_key", organization, "--name", "CI")
        name = ("--username=sam", "--email=sam@example.com", "--noinput")
        server.manage("createsuperuser", *name)
        self.log_in()

    def call(self, path: str, body: object = None, method: str | None = None) -> Answer:
        answer = self.server.ask(path, key=self.key, body=body, method=method)
        assert answer.status in (200, 201), (method, path, answer)
        return answer

    def page(self, path: str, **fields: str) -> None:
        """Open a page of the admin, or fill in and send its form."""
        answer = self.server.ask(path, cookie=self.cookie)
        assert answer.status == 200, (path, answer)
        if fields:
            self.send(path, **fields)

    def send(self, path: str, **fields: str) -> list[str]:
        """Send a form that redirects; return the cookies set."""
        origin = f"https://127.0.0.1:{self.server.port}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.port}{path}",
            data=urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": TOKEN}).encode(),
            headers={**PROXIED, "Cookie": self.cookie, "Origin": origin},
        )
        with pytest.raises(urllib.error.HTTPError) as led, OPENER.open(request, timeout=20):
            pass
        with led.value as answer:
            assert answer.code == 302, (path, answer.code, answer.read())
            return answer.headers.get_all("Set-Cookie", [])

    def log_in(self) -> None:
        self.cookie = f"csrftoken={TOKEN}"
        cookies = self.send("/admin/login/", username="sam", password=PASSWORD)
        self.cookie = "; ".join(cookie.partition(";")[0] for cookie in cookies)
        self.cookie = re.sub("csrftoken=[^;]*", f"csrftoken={TOKEN}", self.cookie)

    def everything(self) -> None:
        self.call("/v1/auth/me")
        self.call("/v1/keys?limit=5")
        made = self.call("/v1/keys", {"name": "child"}).json()["id"]
        self.call(f"/v1/keys/{made}", {"name": "renamed"}, "PATCH")
        self.call(f"/v1/keys/{made}/rotate", {"overlap_seconds": 0})
        self.call(f"/v1/keys/{made}")
        self.call(f"/v1/keys/{made}", method="DELETE")
        left = self.call("/v1/keys", {"name": "for staff"}).json()["id"]
        for path in ("", "apikeys/apikey/", "accounts/organization/", "audit/auditevent/"):
            self.page(f"/admin/{path}")
        self.page(f"/admin/apikeys/apikey/{quote(left)}/revoke/", category="other", reason="left")
        assert self.server.ask("/readyz").status == 200

    def often(self, times: int) -> None:
        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(self.everything) for _ in range(times)]:
                done.result()


@pytest.fixture(scope="module")
def use(server: ProductionServer) -> Use:
    used = Use(server)
    used.often(8)
    return used


@pytest.mark.parametrize("change", CHANGES)
def test_schema_change_beside_a_warm_server_fails_no_request(use, database, change):
    database.run(*CHANGES[change])
    use.often(4)
