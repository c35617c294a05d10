"""Tests of isolation: between modes, and between work on one key and requests of others."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction
from django.test import override_settings

from accounts.models import Meter, Organization, Plan, RateWindow
from apikeys import meters
from apikeys.models import ApiKey, KeyDay, KeySecret
from apikeys.verbs.revoke import revoke_with_all_it_made
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditHead
from staff.models import LogInTries, RecoveryCode, SecondFactor, User
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads

# Tables that both modes share: the organization, and the head of its audit log.
OF_BOTH = {Organization, Plan, User, AuditHead, LogInTries, RecoveryCode, SecondFactor}
# A request that waits for a lock fails, instead of passing late.
IMPATIENCE = "SET lock_timeout = '300ms'"

Rows = dict[str, list[dict[str, Any]]]


def our_models() -> Iterator[type[models.Model]]:
    for label in ("accounts", "apikeys", "sibling"):
        yield from apps.get_app_config(label).get_models()


def rows_of(model: type[models.Model], *, livemode: bool) -> models.QuerySet[Any]:
    """Return a model's rows of one mode, by the model's path to `livemode`."""
    names = {field.name for field in model._meta.get_fields()}
    for path in ("livemode", "api_key__livemode", "caller__livemode"):
        if path.split("__")[0] in names:
            return model._default_manager.filter(**{path: livemode})
    raise AssertionError(f"Say of which mode a row of {model} is, or that it is of both.")


def snapshot(*, livemode: bool) -> Rows:
    return {
        model.__name__: sorted(rows_of(model, livemode=livemode).values(), key=repr)
        for model in our_models()
        if model not in OF_BOTH
    }


@override_settings(ROOT_URLCONF="tests.sibling.service")
class ModeTests(ApiTestCase):
    def do_everything(self, client: ApiClient) -> None:
        """Call every endpoint, with and without success."""
        made = client.send("/v1/keys", {"name": "x"}, **{"Idempotency-Key": "made-once"}).json()
        path = f"/v1/keys/{made['id']}"
        for response in (
            client.send("/v1/keys", {"name": "x"}, **{"Idempotency-Key": "made-once"}),
            client.get("/v1/keys?over_privileged=true"),
            client.get(path),
            client.get(f"{path}/usage"),
            client.get(f"{path}/events"),
            client.get("/v1/events"),
            client.change(path, {"name": "y", "scopes": ["tests:read"], "max_tests_per_month": 5}),
            client.change(path, {"scopes": ["tests:read", "tests:write"]}),
            client.send(f"{path}/rotate", {}),
            client.send(f"{path}/finish_rotation", {}),
            client.delete(f"{path}?cascade=true&reason=done"),
            client.get("/v1/usage"),
            client.get("/v1/auth/me"),
            client.send("/v1/tests", {"subject": "x"}),
            client.get("/v1/tests"),
            domain := client.send("/v1/domains", {"name": "one.example"}),
            client.send("/v1/domains", {"name": "two.example"}),
            client.delete(f"/v1/domains/{domain.json()['id']}"),
        ):
            self.assertLess(response.status_code, 300, response.content)
        for response in (
            client.simulate("quota_exceeded", "/v1/tests"),
            client.send("/v1/keys", {}),
            client.get(f"/v1/keys/{self.api_keys[True].id}"),
            client.delete(f"/v1/keys/{self.api_keys[False].id}?cascade=maybe"),
            client.send("/v1/tests", {}),
            client.get("/v1/nope"),
        ):
            self.assertIn(response.status_code, (200, 400, 403, 404))
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=1)
        self.assertEqual(client.get("/v1/auth/me").status_code, 429)
        self.acme.change_plan(actor=Actor.cli(), reason="test", requests_per_minute=100_000)

    def setUp(self) -> None:
        self.api_keys, self.clients = {}, {}
        for livemode in (True, False):
            self.api_keys[livemode], self.clients[livemode] = self.issue(livemode=livemode)
            self.clients[livemode].send("/v1/tests", {"subject": "there before"})
            self.clients[livemode].send("/v1/domains", {"name": "before.example"})

    def test_requests_in_one_mode_change_no_row_of_the_other(self):
        for livemode in (True, False):
            with self.subTest(livemode=livemode):
                own, other = snapshot(livemode=livemode), snapshot(livemode=not livemode)

                self.do_everything(self.clients[livemode])

                self.assertEqual(snapshot(livemode=not livemode), other)
                changed = {
                    name for name, rows in snapshot(livemode=livemode).items() if rows != own[name]
                }
                self.assertEqual(changed, set(own))

    def test_requests_in_sandbox_change_no_number_in_live_answers(self):
        def numbers() -> list[Any]:
            usage = self.clients[True].get("/v1/usage").json()
            usage["api_calls"]["total"] = None  # This request itself is counted.
            return [usage, self.clients[True].get("/v1/auth/me").json()["usage"]]

        before = numbers()
        self.do_everything(self.clients[False])
        self.assertEqual(numbers(), before)


class DelayTests(CommittedTestCase):
    """What one connection holds while others ask, with the lock settings of production."""

    def setUp(self) -> None:
        super().setUp()
        self.manager_key, self.manager = self.issue()
        self.api_key, self.held = self.issue()
        self.bystanders = [
            self.issue()[1],
            self.issue(livemode=False)[1],
            self.issue(organization=self.globex)[1],
        ]
        for client in (self.held, *self.bystanders):
            client.get("/v1/auth/me")

    @contextmanager
    def in_progress(self, work: Callable[[], object]) -> Iterator[None]:
        """Do `work` in another connection and hold back its commit until the block ends."""
        done, commit = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic():
                work()
                done.set()
                commit.wait(timeout=20)

        thread = threading.Thread(target=in_threads, args=[hold])
        thread.start()
        try:
            self.assertTrue(done.wait(timeout=20))
            with connection.cursor() as cursor:
                cursor.execute(IMPATIENCE)
            yield
        finally:
            commit.set()
            thread.join()

    def assertServed(self, *clients: ApiClient) -> None:
        for client in clients:
            for _ in range(3):
                self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def lock_secret(self) -> None:
        KeySecret.objects.select_for_update().get(api_key=self.api_key)

    def test_locked_secret_delays_no_request_even_if_last_use_is_due(self):
        long_ago = timedelta(hours=1)
        KeySecret.objects.update(last_used_at=models.F("last_used_at") - long_ago)
        with self.in_progress(self.lock_secret):
            self.assertServed(*self.bystanders, self.held)
        noted = KeySecret.objects.get(api_key=self.api_key).last_used_at
        self.held.get("/v1/auth/me")
        later = KeySecret.objects.get(api_key=self.api_key).last_used_at
        assert noted is not None
        assert later is not None
        self.assertGreater(later - noted, timedelta(minutes=59))

    def test_locked_key_delays_no_request_even_on_a_new_day(self):
        KeyDay.objects.all().delete()

        def lock_key() -> None:
            ApiKey.objects.select_for_update(no_key=True).get(pk=self.api_key.pk)

        with self.in_progress(lock_key):
            self.assertServed(*self.bystanders, self.held)

    def test_rotation_in_progress_delays_no_request(self):
        def turn() -> None:
            rotate(self.api_key, actor=Actor.cli(), overlap=timedelta(0))

        with self.in_progress(turn):
            self.assertServed(*self.bystanders, self.held)
        self.assertRefused(self.held.get("/v1/auth/me"), 401, "api_key_expired")

    def test_bulk_revocation_in_progress_delays_no_request(self):
        children = [
            ApiClient(self.manager.send("/v1/keys", {"name": "x"}).json()["key"]) for _ in range(3)
        ]
        for child in children:
            child.get("/v1/auth/me")

        def revoke() -> None:
            revoke_with_all_it_made(self.manager_key, actor=Actor.cli())

        with self.in_progress(revoke):
            self.assertServed(*self.bystanders, self.held, *children)
        for child in children:
            self.assertRefused(child.get("/v1/auth/me"), 401, "api_key_invalid")
        self.assertServed(*self.bystanders, self.held)

    def test_suspension_and_plan_change_in_progress_delay_no_request(self):
        def change() -> None:
            self.acme.change_plan(actor=Actor.cli(), reason="test", tests_limit=5)
            self.acme.suspend(actor=Actor.cli(), reason="test")

        for model in (KeyDay, RateWindow):  # New rows check their foreign keys again.
            model.objects.all().delete()
        with self.in_progress(change):
            self.assertServed(*self.bystanders, self.held)
        self.assertRefused(self.held.get("/v1/auth/me"), 403, "organization_suspended")

    def test_metered_creation_in_progress_delays_no_request(self):
        caller = self.as_caller(self.held)

        def make() -> None:
            meters.consume(caller, Meter.TESTS)

        with self.in_progress(make):
            self.assertServed(*self.bystanders, self.held)
