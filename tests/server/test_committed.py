"""Tests of CommittedTestCase: other connections see its rows, and it leaves the database empty."""

from django.db import connection

from accounts.models import Organization, Plan
from accounts.models.plan import PLANS
from apikeys.models import ApiKey
from audit.actor import Actor
from audit.models import AuditEvent
from staff.models import User
from tests.support.committed import CommittedTestCase, as_owner, in_threads
from tests.support.waiting import until


class CommittedTests(CommittedTestCase):
    def test_threads_and_the_test_see_each_others_rows(self):
        _, client = self.issue()

        def make() -> int:
            status: int = client.send("/v1/keys", {"name": "CI"}).status_code
            return status

        self.assertEqual(in_threads(make, make), [201, 201])
        self.assertEqual(ApiKey.objects.count(), 3)

    def test_threads_have_connections_of_their_own_and_close_them(self):
        def backend() -> int:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                pid: int = cursor.fetchone()[0]
                return pid

        pids = in_threads(backend, backend, backend)

        self.assertEqual(len({*pids, backend()}), 4)

        def have_ended() -> bool:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [pids])
            return bool(cursor.fetchone() == (0,))

        with connection.cursor() as cursor:
            until(have_ended)  # A backend ends a moment after its client has gone.

    def test_exception_of_a_thread_is_raised_after_all_have_ended(self):
        def fail() -> None:
            raise ZeroDivisionError

        def suspend() -> None:
            self.acme.suspend(actor=Actor.cli(), reason="unpaid")

        with self.assertRaises(ZeroDivisionError):
            in_threads(fail, suspend)
        self.assertIsNotNone(Organization.objects.get(pk=self.acme.pk).suspended_at)

    def test_teardown_empties_protected_tables_and_restores_the_plans(self):
        self.staff().get("/admin/")

        self._fixture_teardown()

        self.assertEqual(Plan.objects.count(), len(PLANS))
        for model in (Organization, User, ApiKey, AuditEvent):
            self.assertEqual(model._default_manager.count(), 0)

    def test_as_owner_restores_the_runtime_role(self):
        def role() -> str:
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_user")
                name: str = cursor.fetchone()[0]
                return name

        with as_owner():
            self.assertNotEqual(role(), "reachscore_app")
        self.assertEqual(role(), "reachscore_app")
