"""Helpers of the race tests: threads that wait for a lock, in a known order."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connection, connections, transaction

from apikeys.models import ApiKey, KeySecret
from audit.models import AuditHead
from tests.support.cast import Answer, ApiClient
from tests.support.committed import IMPATIENCE, CommittedTestCase

Call = Callable[[], Answer]

# A demo server may use another database of the cluster.
WAITING = """
    SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
     WHERE NOT granted AND datname = current_database()
"""


class Queue:
    """Calls that wait for a lock of the test's own transaction."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._answers: list[Future[Answer]] = []

    def add(self, *calls: Call) -> None:
        """Start each call in a thread; return when all of them wait."""
        for call in calls:
            self._answers.append(self._pool.submit(_with_own_connection, call))
        deadline = time.monotonic() + 60
        while _waiting() < len(self._answers):
            for answer in self._answers:
                assert not answer.done(), answer.result().content
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def answers(self) -> list[Answer]:
        """Return the answers in the same order. Call it after the lock is released."""
        return [answer.result() for answer in self._answers]


class RaceTestCase(CommittedTestCase):
    @contextmanager
    def queue(self) -> Iterator[Queue]:
        """Open a transaction; calls added to its queue must wait for its locks."""
        with ThreadPoolExecutor(32) as pool:
            queue = Queue(pool)
            with transaction.atomic():
                yield queue
        queue.answers()

    def lock_organization(self) -> None:
        """Lock what every write verb on Acme locks first."""
        AuditHead.objects.select_for_update(no_key=True).get(pk=self.acme.pk)

    def lock_secret(self, client: ApiClient) -> None:
        """Lock the row of this client's secret."""
        KeySecret.objects.select_for_update().get(locator=client.key[8:16])

    def live_secrets(self, api_key_id: str) -> list[KeySecret]:
        """Return a key's live secrets, oldest first."""
        secrets = KeySecret.objects.filter(api_key=api_key_id).order_by("pk")
        return [secret for secret in secrets if secret.is_live]

    def in_order(self, *calls: Call) -> list[Answer]:
        """Carry out the first call's verb, then the others'; return their answers.

        All have authenticated and read their rows before they lock. Among more than two,
        PostgreSQL
        lets the others come in any order, because the first changes the row they wait for.
        """
        with self.queue() as queue:
            self.lock_organization()
            for call in calls:
                queue.add(call)
        return queue.answers()

    def assertActive(self, *clients: ApiClient) -> None:
        """Check that the keys of these clients are the only active ones."""
        secrets = KeySecret.objects.filter(locator__in=[client.key[8:16] for client in clients])
        active = ApiKey.objects.filter(revoked_at=None)
        self.assertEqual({key.pk for key in active}, {secret.api_key_id for secret in secrets})


# Each call has a client of its own, because the test client is not thread-safe.
def get(client: ApiClient, path: str = "/v1/auth/me") -> Call:
    return lambda: ApiClient(client.key).get(path)


def post(client: ApiClient, path: str, body: object, **headers: str) -> Call:
    return lambda: ApiClient(client.key).send(path, body, **headers)


def patch(client: ApiClient, path: str, body: object) -> Call:
    return lambda: ApiClient(client.key).change(path, body)


def delete(client: ApiClient, path: str) -> Call:
    return lambda: ApiClient(client.key).delete(path)


def _with_own_connection(call: Call) -> Answer:
    try:
        with connection.cursor() as cursor:
            cursor.execute(IMPATIENCE)
        return call()
    finally:
        connections.close_all()


def _waiting() -> int:
    with connection.cursor() as cursor:
        # A transaction keeps its first view of the connections: it would never see later ones.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(WAITING)
        number: int = cursor.fetchone()[0]
    return number
