"""The cast of the tests, and the check of every refusal.

Acme is the customer, on the plan team; Globex must never see anything of Acme's; Sam is staff.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client, SimpleTestCase, TestCase
from django.utils import timezone

from accounts.models import Organization, Plan
from apikeys.authentication.admission import admit_caller
from apikeys.authentication.caller import Caller
from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.issue import issue
from audit.actor import Actor
from audit.models import AuditEvent
from staff.models import User
from tests.support.staff import log_in
from web.errors.catalogue import CATALOGUE

Answer = Any  # Django's test client patches `json` and more onto the response.


@contextmanager
def kept_connection() -> Iterator[None]:
    """Let Django's handler run inside a test's transaction, which its signals would end."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


class ApiClient(Client):
    """A program that calls the API with one key."""

    def __init__(self, key: str) -> None:
        super().__init__(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {key}"})
        self.key = key

    def simulate(self, code: str, path: str = "/v1/auth/me") -> Answer:
        """GET `path`, asking to be refused with this code."""
        return self.get(path, headers={"ReachScore-Simulate": code})

    def send(self, path: str, body: object, **headers: str) -> Answer:
        """POST `body` as JSON."""
        return self.post(path, body, content_type="application/json", headers=headers)

    def change(self, path: str, body: object) -> Answer:
        """PATCH with `body` as JSON."""
        return self.patch(path, body, content_type="application/json")


class Cast(SimpleTestCase):
    """Has the cast, issues keys, and checks the form of refusals."""

    acme: Organization
    globex: Organization
    sam: User

    @classmethod
    def make_cast(cls) -> None:
        cls.acme = cls.organization("Acme", "team")
        # A high limit, so that a long test does not reach it; tests of the limit set their own.
        Organization.objects.filter(pk=cls.acme.pk).update(requests_per_minute=100_000)
        cls.acme.refresh_from_db()
        cls.globex = cls.organization("Globex", "free")
        cls.sam = User.objects.create_superuser("sam", password="correct horse")

    @classmethod
    def organization(cls, name: str, plan: str) -> Organization:
        organization = Organization(name=name, plan=Plan.objects.get(slug=plan))
        organization.create(actor=Actor.cli())
        return organization

    def issue(self, **fields: Any) -> tuple[ApiKey, ApiClient]:
        """Issue a key of Acme's, live and with all scopes unless `fields` say otherwise."""
        api_key = ApiKey(**{"organization": self.acme, "name": "CI", **fields})
        return api_key, ApiClient(issue(api_key, actor=Actor.cli()))

    def restricted(self) -> ApiClient:
        """Return the client of a key that holds all scopes but one."""
        return self.issue(scopes=list(ALL_SCOPES[:-1]))[1]

    def make(self, client: ApiClient, **fields: Any) -> tuple[ApiKey, ApiClient]:
        """Make a key with another one, over the API."""
        answer = client.send("/v1/keys", {"name": "child", **fields})
        self.assertEqual(answer.status_code, 201, answer.content[:500])
        return ApiKey.objects.get(pk=answer.json()["id"]), ApiClient(answer.json()["key"])

    def rotate(self, client: ApiClient, api_key: ApiKey, **fields: Any) -> ApiClient:
        """Rotate a key with another one, over the API; return the client of the new secret."""
        answer = client.send(f"/v1/keys/{api_key.id}/rotate", fields)
        self.assertEqual(answer.status_code, 200, answer.content[:500])
        return ApiClient(answer.json()["key"])

    def actions(self, api_key: ApiKey) -> list[str]:
        """Return the actions of the audit log on a key, in order, without the noun."""
        events = AuditEvent.objects.filter(target_id=api_key.pk).order_by("sequence")
        return [event.action.removeprefix("api_key.") for event in events]

    def as_caller(self, client: ApiClient) -> Caller:
        """Return the caller of this client's requests; this counts as one request."""
        return admit_caller(client.key, now=timezone.now())

    def assertRefused(
        self, response: Answer, status: int, code: str, *, field: str | None = None
    ) -> dict[str, Any]:
        """Check the whole error envelope; return the error."""
        self.assertEqual(response.status_code, status, response.content[:500])
        self.assertEqual(response["Content-Type"], "application/json")
        self.assertEqual(response["Cache-Control"], "no-store")
        self.assertEqual(response["X-Content-Type-Options"], "nosniff")
        self.assertEqual(list(response.json()), ["error"])
        error: dict[str, Any] = response.json()["error"]
        self.assertEqual(error["code"], code, error)
        self.assertEqual(error.get("field"), field, error)
        names = ["type", "code", "message", "field", "fix", "doc_url", "request_id"]
        if code == "insufficient_scope":
            names += ["required_scopes", "granted_scopes", "missing_scopes"]
        if code == "quota_exceeded":
            names += ["limit", "used", "resets_at"]
        if status == 400 and field is not None:
            names += ["errors"]
            first = {name: error[name] for name in ("field", "code", "message", "fix")}
            self.assertEqual(error["errors"][0], first)
            self.assertLessEqual(len(error["errors"]), 20)
        self.assertEqual(list(error), [n for n in names if n != "field" or field is not None])
        self.assertEqual(error["type"], CATALOGUE[code].type)
        self.assertTrue(error["message"])
        self.assertTrue(error["fix"])
        self.assertTrue(error["doc_url"].endswith(f"/docs/errors#{code}"))
        self.assertEqual(error["request_id"], response["Request-Id"])
        return error

    def assertNothingWritten(self, response: Answer) -> None:
        """Check that a refused request wrote neither key nor event; the test has issued one key."""
        self.assertGreaterEqual(response.status_code, 400)
        self.assertEqual(AuditEvent.objects.filter(actor_type="key").count(), 0)

    def staff(self, user: User | None = None) -> Client:
        """Return a browser logged in to the admin, as Sam by default."""
        client = Client()
        log_in(client, user or self.sam)
        return client


class ApiTestCase(Cast, TestCase):
    """Runs each test in a transaction that is rolled back; tests that commit are in `committed`."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.make_cast()
