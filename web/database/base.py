"""Django's PostgreSQL backend with bounded waits and confirmed commits.

Neither statement_timeout nor lock_timeout bounds a commit that waits for a synchronous replica. If
that wait is cancelled, PostgreSQL reports success with a warning, although the transaction is
committed on this server only.
"""

import secrets
from typing import Any, Final, TypeVar

import psycopg
from django.db.backends.postgresql import base
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

T = TypeVar("T")

SECONDS_TO_CANCEL: Final = 2
SECONDS_BETWEEN_LOOKS: Final = 0.1  # psycopg's default: how often it handles signals.


class CommitUnconfirmed(psycopg.OperationalError):
    """The transaction may be committed, but perhaps not on the synchronous replica."""


class Connection(psycopg.Connection[Any]):
    """A connection that waits at most `longest_wait` seconds for the server; None is no limit."""

    longest_wait: float | None = None
    _is_unconfirmed = False

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """Detect the notice of a cancelled wait by its C function: its text may be translated."""
        if notice.source_function == "SyncRepWaitForLSN":
            self._is_unconfirmed = True

    def wait(
        self, gen: PQGen[T], interval: float = SECONDS_BETWEEN_LOOKS, timeout: float | None = None
    ) -> T:
        """Run one exchange with the server.

        Raises CommitUnconfirmed if the wait for the replica or for the server was cancelled.
        """
        self._is_unconfirmed = False
        try:
            result = super().wait(gen, interval, self.longest_wait if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - the only sign
            self._cancel(gen)
            raise CommitUnconfirmed("The answer took too long.") from None
        if self._is_unconfirmed:
            raise CommitUnconfirmed("The wait for a synchronous replica was cancelled.")
        return result

    def commit(self) -> None:
        """Commit. Raise CommitUnconfirmed if the connection was lost before the answer."""
        try:
            super().commit()
        except psycopg.OperationalError as error:
            if self.closed:
                raise CommitUnconfirmed("The connection was lost.") from error
            raise

    def _cancel(self, gen: PQGen[Any]) -> None:
        """Cancel the running statement. Close the connection if the server does not react.

        Raises the server's error, QueryCanceled as a rule. Returns if the server reports none.
        """
        try:
            self.cancel_safe(timeout=SECONDS_TO_CANCEL)
            super().wait(gen, timeout=SECONDS_TO_CANCEL)
        except psycopg.Error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's backend. The setting LONGEST_WAIT is in seconds; reachscore.wsgi sets it."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.__class__ = Connection  # Django hard-codes psycopg's class.
        connection.longest_wait = self.settings_dict.get("LONGEST_WAIT")
        connection.add_notice_handler(connection.note)
        # psycopg numbers each connection's prepared statements from 0, so a pooler that does not
        # track them would run another client's statement. From a random start it fails (26000).
        connection._prepared._prepared_idx = secrets.randbits(48)  # noqa: SLF001
        return connection
