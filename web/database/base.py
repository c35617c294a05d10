"""Django's PostgreSQL backend, whose waits end, and which takes no doubtful commit for done.

A commit that waits for a synchronous replica is bounded neither by statement_timeout nor by
lock_timeout. Cancelled, it has happened here and perhaps nowhere else, and PostgreSQL reports
success with a warning.
"""

import secrets
from typing import Any, Final, TypeVar

import psycopg
from django.db.backends.postgresql import base
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

T = TypeVar("T")

SECONDS_TO_CANCEL: Final = 2
SECONDS_BETWEEN_LOOKS: Final = 0.1  # At the signals that arrived; psycopg's own default.


class CommitUnconfirmed(psycopg.OperationalError):
    """The transaction may have been committed, and may not be on a second machine."""


class Connection(psycopg.Connection[Any]):
    """Ends each wait for the server after `longest_wait` seconds; None is no limit."""

    longest_wait: float | None = None
    _is_unconfirmed = False

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """Take in a notice. By the name of the function: its text comes in many languages."""
        if notice.source_function == "SyncRepWaitForLSN":
            self._is_unconfirmed = True

    def wait(
        self,
        gen: PQGen[T],
        interval: float = SECONDS_BETWEEN_LOOKS,
        timeout: float | None = None,
    ) -> T:
        """Run one exchange with the server.

        Raises CommitUnconfirmed if the wait for a replica, or the answer, was given up.
        """
        self._is_unconfirmed = False
        try:
            result = super().wait(gen, interval, self.longest_wait if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - the only way to tell
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
        """Cancel what the server is doing, and hang up if it does not even answer to that.

        Raises QueryCanceled, or what else the server answers; returns if it says nothing of it.
        """
        try:
            self.cancel_safe(timeout=SECONDS_TO_CANCEL)
            super().wait(gen, timeout=SECONDS_TO_CANCEL)
        except psycopg.Error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes LONGEST_WAIT, in seconds, from the settings; reachscore.wsgi sets it for requests."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.__class__ = Connection  # Django connects with psycopg's own, by its name.
        connection.longest_wait = self.settings_dict.get("LONGEST_WAIT")
        connection.add_notice_handler(connection.note)
        # psycopg numbers each connection's statements from 0. By a number, a pooler that cannot
        # keep them apart would run another client's statement; by a name of its own, none (26000).
        connection._prepared._prepared_idx = secrets.randbits(48)  # noqa: SLF001
        return connection
