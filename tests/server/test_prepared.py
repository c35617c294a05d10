"""Tests of prepared statements: the statement of each request is planned once per connection."""

import secrets
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from django.conf import settings
from django.contrib.admin.utils import quote
from django.db import NotSupportedError, ProgrammingError, connection, transaction
from django.test import override_settings

from apikeys.authentication.last_use import renew_digest
from apikeys.models import ApiKey
from tests.support.cast import Answer, ApiClient, ApiTestCase
from tests.support.committed import CommittedTestCase, superuser
from web.database.stale import once_more

PLANS = """
    SELECT generic_plans, custom_plans
      FROM pg_prepared_statements
     WHERE statement LIKE '%%apikeys_keyday%%'
"""


class PreparedTests(ApiTestCase):
    def test_authenticating_statement_gets_a_generic_plan(self):
        ((generic, custom),) = self.plans_after(20)
        self.assertLessEqual(custom, 5)  # PostgreSQL tries five custom plans before a generic one.
        self.assertGreater(generic, 5)

    def test_authenticating_statement_gets_a_generic_plan_with_two_peppers(self):
        peppers = {2: secrets.token_bytes(32), **settings.API_KEY_PEPPERS}
        with override_settings(API_KEY_PEPPERS=peppers):
            ((generic, custom),) = self.plans_after(20)
        self.assertLessEqual(custom, 5)
        self.assertGreater(generic, 5)

    def plans_after(self, requests: int) -> list[tuple[int, int]]:
        _, client = self.issue()
        for _ in range(requests):
            self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        with connection.cursor() as cursor:
            cursor.execute(PLANS)
            plans: list[tuple[int, int]] = cursor.fetchall()
        return plans


class KeptCursorTests(CommittedTestCase):
    def test_lost_cursor_or_connection_fails_no_request(self):
        _, client = self.issue()
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        connection.caller_cursor.close()  # type: ignore[attr-defined]
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        connection.connection.close()  # Like a lost database, unnoticed by Django.
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        del connection.caller_cursor  # type: ignore[attr-defined]
        connection.connection.close()
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_discarded_prepared_statements_fail_no_request(self):
        _, client = self.issue()
        for _ in range(7):
            for answer in (client.get("/v1/auth/me"), client.get("/v1/keys"), self.create(client)):
                self.assertLess(answer.status_code, 300, answer.content)
            # Like a pooler's reset, unnoticed by psycopg.
            connection.connection.pgconn.exec_(b"DISCARD ALL")

    def test_statement_on_another_connection_of_a_pooler_fails_no_request(self):
        renew = partial(renew_digest, "plaintext", locator="locator", pepper_id=1)
        session = self.staff().session

        def insert() -> None:
            session._session_key = secrets.token_hex(16)
            session.save(must_create=True)

        for write in (renew, session.save, insert):
            with self.subTest(write):
                for _ in range(7):
                    write()
                    connection.connection.pgconn.exec_(b"DISCARD ALL")

    def test_first_statement_after_a_migration_succeeds_in_admin_and_api(self):
        staff, (_, client) = self.staff(), self.issue()
        keys = [self.issue()[0].pk for _ in range(8)]  # This also prepares the statements.
        leaked = {"category": "leaked", "keys": keys[0]}
        revoke = f"/admin/apikeys/apikey/{quote(keys[1])}/revoke/"
        calls: list[tuple[str, Callable[[], Answer]]] = [
            ("integer", lambda: staff.post("/admin/apikeys/apikey/bulk/revoke/", leaked)),
            ("bigint", lambda: staff.post(revoke, leaked, follow=True)),
            ("integer", lambda: client.delete(f"/v1/keys/{keys[2]}")),
            ("bigint", lambda: self.create(client)),
        ]
        for number, (column_type, call) in enumerate(calls):
            # Only a verb reads this column, so no earlier statement fails and is prepared again.
            with superuser() as another:
                alter = f"ALTER TABLE audit_audithead ALTER COLUMN sequence TYPE {column_type}"
                another.execute(alter.encode())
            answer = call()
            said = b"".join(answer.streaming_content) if answer.streaming else answer.content
            self.assertLess(answer.status_code, 300, said)
            revoked = ApiKey.objects.filter(pk__in=keys[:3]).exclude(revoked_at=None)
            self.assertEqual(revoked.count(), min(number + 1, 3), said)

    def create(self, client: ApiClient) -> Answer:
        return client.send("/v1/keys", {"name": "child"})

    def test_statement_is_run_once_more_only_if_it_failed_inside_a_transaction(self):
        def fail(*, inside: bool) -> None:
            calls.append(inside)
            with transaction.atomic() if inside else nullcontext(), connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM apikeys_apikey FOR UPDATE")  # Always 0A000.

        for inside, error, times in ((True, ProgrammingError, 2), (False, NotSupportedError, 1)):
            calls: list[bool] = []
            with self.assertRaises(error):
                once_more(fail)(inside=inside)
            self.assertEqual(len(calls), times)
