"""Tests that commit, with real threads: for races and what only a commit shows."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, TypeVar

import psycopg
from django.apps import apps
from django.db import connection, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.test import TransactionTestCase

from accounts.models import Plan
from accounts.models.plan import PLANS
from audit.models import SERVICE, AuditHead
from staff.groups import make_groups
from tests.support.cast import Cast

T = TypeVar("T")

# A test that waits for a lock that is never released fails instead of hanging.
IMPATIENCE = "SET lock_timeout = '20s'"

# Django's flush fails on the audit log's triggers, and would delete rows made by migrations.
EMPTY_ALL_TABLES = """
    DO $$ BEGIN
        SET LOCAL session_replication_role = replica;
        SET LOCAL lock_timeout = '20s';
        EXECUTE (
            SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ')
            FROM pg_tables
            WHERE schemaname = 'public'
            AND tablename NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
        );
    END $$
"""


def superuser() -> "psycopg.Connection[tuple[Any, ...]]":
    """Connect beside the test, as the owner of the tables."""
    database = connection.settings_dict
    return psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        dbname=database["NAME"],
        user=database["USER"],
        autocommit=True,
    )


@contextmanager
def as_owner() -> Iterator[CursorWrapper]:
    """Yield a cursor in a transaction of the tables' owner, who may disable triggers.

    Works in an `ApiTestCase`, too. In tests the owner is also a superuser.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE NONE")
        yield cursor
        # Restore the role for the rest of the test's own transaction.
        cursor.execute("SET LOCAL ROLE reachscore_app")


def in_threads(*calls: Callable[[], T]) -> list[T]:
    """Run each call in a thread with its own database connection; return their results.

    All begin at the same moment. When all have ended, the first exception is raised again.
    """
    start = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        try:
            with connection.cursor() as cursor:  # Connecting takes longer than most races last.
                cursor.execute(IMPATIENCE)
            start.wait(timeout=20)
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(run, call) for call in calls]
    return [future.result() for future in futures]


class CommittedTestCase(Cast, TransactionTestCase):
    """Has the cast in committed rows, visible to other connections; deletes all at the end."""

    def setUp(self) -> None:
        self.make_cast()

    def _fixture_teardown(self) -> None:
        connection.close()  # The test may have left it in any state.
        with as_owner() as cursor:
            cursor.execute(EMPTY_ALL_TABLES)
            Plan.objects.bulk_create([Plan(**columns) for columns in PLANS])
            make_groups(apps)
            AuditHead.objects.create(organization_id=SERVICE)
