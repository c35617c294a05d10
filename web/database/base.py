"""Django's PostgreSQL backend with bounded waits and confirmed commits.

If the wait of a commit for a synchronous replica is cancelled, PostgreSQL reports success with a
warning, although the transaction is committed on this server only.
"""

import math
import secrets
import time
from typing import Any, Final, Self, TypeVar

import psycopg
from django.db.backends.postgresql import base
from psycopg import waiting
from psycopg.abc import PQGen, PQGenConn
from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo
from psycopg.pq import TransactionStatus

from web.context import current
from web.deadlines import COMMIT, SHORT_WAIT, STATEMENT, TRANSACTION, DeadlineExpired, waits

T = TypeVar("T")

SECONDS_TO_CANCEL: Final = 0.5  # A server that lives takes milliseconds.
ENDED: Final = (TransactionStatus.IDLE, TransactionStatus.INERROR)  # The server has answered.
SECONDS_BETWEEN_LOOKS: Final = 0.1  # psycopg's default: how often it handles signals.


class CommitUnconfirmed(psycopg.OperationalError):
    """The transaction may be committed, but perhaps not on the synchronous replica."""


class Connection(psycopg.Connection[Any]):
    """A connection that waits no longer than the request's deadline. After that it is closed."""

    _is_committing = False
    _is_unconfirmed = False

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """Detect the notice of a cancelled wait by its C function: its text may be translated."""
        if notice.source_function == "SyncRepWaitForLSN":
            self._is_unconfirmed = True

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """Try one address for half of the time left: the other half is for the next address."""
        attempt = super()._connect_gen(conninfo)
        # psycopg's own time-out has whole seconds, two at least, and begins anew for each address.
        longest = timeout_from_conninfo(conninfo_to_dict(conninfo))
        left = waits.begin(STATEMENT, current().deadline)
        try:
            connection = waiting.wait_conn(attempt, SECONDS_BETWEEN_LOOKS, min(longest, left / 2))
        except psycopg.errors._WaitTimeout:  # noqa: SLF001
            waits.silent_at = time.monotonic()
            raise
        waits.silent_at = -math.inf  # This address answers, if not the one before.
        yield from ()  # psycopg expects a generator.
        return connection

    def wait(
        self, gen: PQGen[T], interval: float = SECONDS_BETWEEN_LOOKS, timeout: float | None = None
    ) -> T:
        """Run one exchange with the server, or close the connection when the time is up.

        Raises:
            CommitUnconfirmed: if the server or a replica is silent, and it may have committed.
            DeadlineExpired: if it took too long, and had no effect.
            TooManyWait: see `Waits`.
        """
        kind = COMMIT if self._is_committing else STATEMENT if self._autocommit else TRANSACTION
        self._is_unconfirmed = False
        context = current()
        left = waits.begin(kind, context.deadline)
        try:
            result = super().wait(gen, interval, left if timeout is None else min(timeout, left))
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - the only sign
            context.deadline = time.monotonic()  # This request begins no other wait.
            self._give_up(gen, SECONDS_TO_CANCEL if left > SHORT_WAIT else SECONDS_TO_CANCEL / 2)
            error = DeadlineExpired if kind == TRANSACTION else CommitUnconfirmed
            raise error("The answer took too long.") from None
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            if is_out_of_step := isinstance(error, psycopg.InternalError) and not error.sqlstate:
                self.close()  # "received 2 results": a pooler's farewell followed the answer.
            if self._is_committing and self.closed:
                raise CommitUnconfirmed("The connection was lost.") from error
            if is_out_of_step:
                raise psycopg.OperationalError("The connection was lost.") from error
            raise
        finally:
            waits.end()
        if self._is_unconfirmed:
            raise CommitUnconfirmed("The wait for a synchronous replica was cancelled.")
        return result

    def _give_up(self, gen: PQGen[Any], seconds: float) -> None:
        """Cancel the running statement, then close. Raise the server's error if there is one."""
        ends = time.monotonic() + seconds
        try:
            self.cancel_safe(timeout=seconds)
            super().wait(gen, timeout=max(0.0, ends - time.monotonic()))
        except psycopg.Error:
            if self.pgconn.transaction_status in ENDED:
                raise
            waits.silent_at = time.monotonic()
        finally:
            self.close()

    def commit(self) -> None:
        """Commit. Raise CommitUnconfirmed if the answer was lost."""
        self._is_committing = not self.closed
        try:
            super().commit()
            current().has_committed = True
        finally:
            self._is_committing = False

    def set_autocommit(self, value: bool) -> None:
        """Begin or end transactions. Sends nothing, so it may come after the deadline."""
        super().wait(self._set_autocommit_gen(value))


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's backend, with connections of the class above."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            connection = Connection.connect(**conn_params)
        finally:
            waits.end()
        connection.add_notice_handler(connection.note)
        # psycopg numbers each connection's prepared statements from 0, so a pooler that does not
        # track them would run another client's statement. From a random start it fails (26000).
        connection._prepared._prepared_idx = secrets.randbits(48)  # noqa: SLF001
        return connection

    def is_usable(self) -> bool:
        """Return True if the server answers within a second: else a new one may do so in time."""
        context = current()
        before = context.deadline
        context.deadline = min(before or math.inf, time.monotonic() + SHORT_WAIT)
        try:
            return bool(super().is_usable())
        finally:
            context.deadline = before

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """Begin or end a transaction, but never connect to end one, as Django would."""
        if not autocommit or self.connection is not None:
            super().set_autocommit(autocommit, *args, **kwargs)
