"""Tests of a commit that no synchronous replica confirms: a bounded wait, and no success."""

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock

import psycopg
from django.conf import settings
from django.contrib.admin.utils import quote
from django.db import OperationalError, connection
from django.test import Client, override_settings
from django.utils import timezone
from psycopg.abc import PQGen

from accounts.models import Organization
from apikeys.models import ApiKey, KeySecret, ScopeGrant
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from staff.login.sessions import SEEN_AT
from staff.models import LogInTries
from tests.support.cast import ApiClient
from tests.support.committed import CommittedTestCase, superuser
from tests.support.standby import standby_away
from tests.support.waiting import until
from web.context import RequestContext, begin_request
from web.database.base import CommitUnconfirmed, Connection
from web.deadlines import DEADLINES, DeadlineExpired

# Only for what never ends: the rest of a request, and the end of a cancelled wait, may take long,
# or a busy machine would be told that nothing was begun, or find the locks still held.
LONGEST_WAIT, LONGEST_REQUEST = 1.0, 60.0
TO_CANCEL = "web.database.base.SECONDS_TO_CANCEL"
TOKEN = {"Idempotency-Key": "a1b2-c3d4"}
# The cluster's other users wait, too.
WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"


class CommitTestCase(CommittedTestCase):
    def setUp(self) -> None:
        super().setUp()
        connection.close()
        self.enterContext(mock.patch.dict(DEADLINES, request=LONGEST_REQUEST, wait=LONGEST_WAIT))
        self.enterContext(mock.patch(TO_CANCEL, LONGEST_REQUEST))


class VerbTests(CommitTestCase):
    def test_unconfirmed_verb_is_503_and_so_is_its_repetition(self):
        key, client = self.issue()
        rotating, other = self.issue()[0], self.issue()[0]
        rotate(rotating, actor=Actor.cli(), overlap=timedelta(hours=1))
        named = "Send the same again with its Idempotency-Key, {0}, until it is answered 2xx."
        look = "Check if it did before you send it again."
        again = "Send the same again until it is answered 2xx."
        verbs: list[tuple[str, str, Any, str]] = [
            ("POST", "", {"name": "a"}, named),
            ("POST", "", {"name": "b"}, look),
            ("POST", f"/{other.pk}/rotate", {}, again),
            ("POST", f"/{rotating.pk}/finish_rotation", {}, again),
            ("PATCH", f"/{key.pk}", {"name": "c"}, again),
            ("DELETE", f"/{rotating.pk}", None, again),
            ("DELETE", f"/{other.pk}?cascade=true", None, again),
        ]
        with standby_away(superuser):
            for number, (method, path, body, fix) in enumerate(verbs):
                headers = {"Idempotency-Key": f"a1-{number}"} if fix == named else {}
                for _ in range(2 if fix == again else 1):
                    answer = client.generic(
                        method,
                        f"/v1/keys{path}",
                        b"" if body is None else json.dumps(body).encode(),
                        "application/json",
                        headers=headers,
                    )
                    with self.subTest(method=method, path=path):
                        error = self.assertRefused(answer, 503, "temporarily_unavailable")
                        self.assertIn("may have happened", error["message"])
                        self.assertIn(fix.format(*headers.values()), error["fix"])
                        unread = "may not be on a second machine yet" in error["fix"]
                        self.assertEqual(unread, fix != named)
        active = ApiKey.objects.filter(revoked_at=None).values_list("name", flat=True)
        self.assertEqual(sorted(active), ["a", "b", "c"])

    def test_unconfirmed_create_repeated_with_its_idempotency_key_shows_the_one_key(self):
        client = self.issue()[1]
        with standby_away(superuser):
            lost = client.send("/v1/keys", {"name": "a"}, **TOKEN)
        self.assertEqual(lost.status_code, 503)
        answer = client.send("/v1/keys", {"name": "a"}, **TOKEN)
        self.assertEqual(answer.status_code, 201)
        self.assertEqual(ApiClient(answer.json()["key"]).get("/v1/auth/me").status_code, 200)
        self.assertEqual(ApiKey.objects.filter(name="a").count(), 1)

    def test_fault_during_a_get_never_says_that_it_may_have_happened(self):
        fault = OperationalError()
        fault.__cause__ = CommitUnconfirmed()
        with mock.patch("apikeys.authentication.caller.Caller.auth_context", side_effect=fault):
            answer = self.issue()[1].get("/v1/auth/me")
        error = self.assertRefused(answer, 503, "temporarily_unavailable")
        self.assertNotIn("happened", error["message"])

    def test_unconfirmed_form_of_staff_is_503(self):
        staff, (key, _) = self.staff(), self.issue()
        self.client.raise_request_exception = staff.raise_request_exception = False
        pages: list[tuple[Client, str, dict[str, str]]] = [
            (self.client, "login/", {"username": "sam", "password": "correct horse"}),
            (staff, f"apikeys/apikey/{quote(key.pk)}/revoke/", {"category": "leaked"}),
            (staff, f"apikeys/apikey/{quote(key.pk)}/revoke/", {"category": "leaked"}),
            (staff, "logout/", {}),
        ]
        with standby_away(superuser):
            for browser, page, fields in pages:
                with self.subTest(page):
                    answer = browser.post(f"/admin/{page}", fields)
                    self.assertContains(answer, "This may have happened", status_code=503)
                    again = "Send the same again until it succeeds. What can be read meanwhile"
                    self.assertContains(answer, again, status_code=503)

    def test_page_that_only_reads_is_shown_or_503_if_its_session_cannot_be_written(self):
        """Both a session that is due to be written and one that has ended and is deleted."""
        staff, ended = self.session_seen(61), self.session_seen(31 * 60)
        with self.subTest("standby away"), standby_away(superuser):
            self.assertEqual(staff.get("/admin/").status_code, 200)
            self.assertBackSoon(ended)
            self.assertEqual(ended.get("/admin/").status_code, 302)
        staff = self.session_seen(61)
        with self.subTest("a lock"), superuser() as holder, holder.transaction():
            holder.execute("SELECT 1 FROM django_session FOR UPDATE")
            self.assertBackSoon(staff)
        with self.subTest("read-only"):
            with connection.cursor() as cursor:
                cursor.execute("SET default_transaction_read_only = on")
            self.assertBackSoon(staff)

    def session_seen(self, seconds: int) -> Client:
        """Return a browser of staff whose last noted click was this many seconds ago."""
        staff = self.staff()
        staff.raise_request_exception = False
        session = staff.session
        session[SEEN_AT] -= seconds
        session.save()
        return staff

    def assertBackSoon(self, browser: Client) -> None:
        answer = browser.get("/admin/")
        self.assertContains(answer, "Wait a few seconds, then send the same again", status_code=503)
        self.assertNotContains(answer, "happened", status_code=503)
        connection.close()  # As Django does after each request, but not after a test client's.


class StatisticsTests(CommitTestCase):
    def test_statistics_do_not_wait_for_a_replica(self):
        hour_ago = timezone.now() - timedelta(hours=1)
        (_, unused), (used_key, used) = self.issue(), self.issue()
        KeySecret.objects.filter(api_key=used_key).update(last_used_at=hour_ago)
        peppers = {2: b"n" * 32, **settings.API_KEY_PEPPERS}
        given_up = mock.patch.object(Connection, "_give_up")
        with given_up as never, standby_away(superuser):
            for client, path in ((unused, "/v1/auth/me"), (used, "/v1/keys")):
                self.assertEqual(client.get(path).status_code, 200)
            with override_settings(API_KEY_PEPPERS=peppers):
                self.assertEqual(used.get("/v1/auth/me").status_code, 200)
        never.assert_not_called()
        self.assertFalse(KeySecret.objects.exclude(last_used_at__gt=hour_ago))
        self.assertEqual(KeySecret.objects.get(api_key=used_key).pepper_id, 2)
        self.assertTrue(ScopeGrant.objects.filter(api_key=used_key).exclude(last_exercised_on=None))

    def test_unconfirmed_log_in_does_not_count_as_a_failed_one(self):
        self.client.raise_request_exception = False
        fields = {"username": "sam", "password": "correct horse"}
        with standby_away(superuser):
            wrong = self.client.post("/admin/login/", fields | {"password": "wrong"})
            right = self.client.post("/admin/login/", fields)
        self.assertEqual((wrong.status_code, right.status_code), (200, 503))
        self.assertEqual(LogInTries.objects.count(), 2)  # The wrong one's name, and the address.


class WaitTests(CommitTestCase):
    def rename(self) -> None:
        """Run a statement that commits by itself, outside a transaction."""
        Organization.objects.filter(pk=self.acme.pk).update(name="Acme 2")

    def suspend(self) -> None:
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")

    def fault(self, call: Callable[[], object], *, in_request: bool = True) -> BaseException | None:
        """Return the driver's error that ends the call, by default inside a request."""
        context = begin_request({}) if in_request else RequestContext()
        try:
            with self.assertRaises(OperationalError) as caught:
                call()
        finally:
            context.deadline = None
        return caught.exception.__cause__

    def interrupted(self, how: str) -> BaseException | None:
        """Return the error that ends a waiting commit if an operator cancels or terminates it."""

        def interrupt() -> None:
            end = f"SELECT pg_{how}_backend(pid) {WAITING}".encode()
            with superuser() as admin:
                until(lambda: admin.execute(end).fetchone())

        with standby_away(superuser), ThreadPoolExecutor() as pool:
            interruption = pool.submit(interrupt)
            fault = self.fault(self.suspend, in_request=False)
            interruption.result()
        return fault

    def test_commit_wait_ended_by_an_operator_is_unconfirmed(self):
        for how in ("cancel", "terminate"):
            with self.subTest(how):
                self.assertIsInstance(self.interrupted(how), CommitUnconfirmed)
                connection.close()
                self.acme.resume(actor=Actor.cli(), reason="paid")

    def test_unconfirmed_single_statement_ends_and_is_committed(self):
        with standby_away(superuser):
            self.assertIsInstance(self.fault(self.rename), CommitUnconfirmed)
            connection.close()
            self.assertEqual(Organization.objects.get(pk=self.acme.pk).name, "Acme 2")

    def test_statement_over_the_deadline_is_cancelled_and_its_connection_closed(self):
        def sleep() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(20)")

        self.assertIsInstance(self.fault(sleep), psycopg.errors.QueryCanceled)
        self.assertTrue(connection.connection.closed)
        self.assertFalse(connection.is_usable())

    def test_second_result_from_a_dying_pooler_is_a_lost_connection(self):
        """psycopg raises InternalError for it, which is a bug elsewhere."""
        run = Connection._exec_command
        for lost, expected in (("BEGIN", psycopg.OperationalError), ("COMMIT", CommitUnconfirmed)):

            def run_and_lose(
                raw: Connection, command: Any, *args: Any, lost: str = lost
            ) -> PQGen[Any]:
                result = yield from run(raw, command, *args)
                if lost.encode() in command:
                    raise psycopg.InternalError(f"received 2 results from command '{lost}'")
                return result

            with self.subTest(lost), mock.patch.object(Connection, "_exec_command", run_and_lose):
                self.assertIs(type(self.fault(self.suspend)), expected)
            connection.close()

    def test_frozen_server_is_given_up_and_only_a_commit_may_have_happened(self):
        """A single statement commits by itself; the verb's lock, in a transaction, does not."""
        for call, expected in ((self.rename, CommitUnconfirmed), (self.suspend, DeadlineExpired)):
            connection.close()
            connection.ensure_connection()
            backend = connection.connection.info.backend_pid
            began = time.monotonic()
            os.kill(backend, signal.SIGSTOP)
            try:
                with self.subTest(call.__name__), mock.patch(TO_CANCEL, LONGEST_WAIT):
                    self.assertIsInstance(self.fault(call), expected)
                    self.assertLess(time.monotonic() - began, LONGEST_REQUEST / 2)
            finally:
                os.kill(backend, signal.SIGCONT)
        connection.close()
        self.rename()

    def test_fault_after_the_commit_of_a_verb_says_that_it_may_have_happened(self):
        _, client = self.issue()
        with mock.patch("apikeys.api.answers.just_issued", side_effect=OperationalError):
            answer = client.send("/v1/keys", {"name": "a"})
        error = self.assertRefused(answer, 503, "temporarily_unavailable")
        self.assertIn("may have happened", error["message"])
