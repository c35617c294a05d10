"""Retry of prepared statements that a migration or a pooler made stale."""

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connections

P = ParamSpec("P")
T = TypeVar("T")

# SQLSTATEs, in order: a column of the plan changed its type; DISCARD ALL or a pooler dropped the
# statement; a pooler has another client's under its name; a row type in a trigger's plan changed.
STALE: Final = frozenset({"0A000", "26000", "42P05", "42804"})


class StaleInTransaction(psycopg.ProgrammingError):
    """A stale prepared statement failed a transaction, which was rolled back."""


class StaleOnceCursor(psycopg.Cursor[Any]):
    """Outside a transaction, retries a statement once if its prepared form is stale."""

    def execute(self, *args: Any, **kwargs: Any) -> "StaleOnceCursor":
        """Run a statement. Raise StaleInTransaction if the whole transaction must be retried."""
        try:
            return super().execute(*args, **kwargs)
        except psycopg.Error as error:
            if error.sqlstate not in STALE:
                raise
            if not self.connection.autocommit:
                raise StaleInTransaction(str(error)) from error
            self.connection.execute("DEALLOCATE ALL")  # psycopg clears its own list, too.
            return super().execute(*args, **kwargs)


def once_more(call: Callable[P, T]) -> Callable[P, T]:
    """Wrap `call` so that it is retried once, on a new connection, after StaleInTransaction.

    `call` must be one transaction: a transaction that it committed before would run twice.
    """

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except ProgrammingError as error:
            connection = connections[DEFAULT_DB_ALIAS]
            if connection.in_atomic_block or not isinstance(error.__cause__, StaleInTransaction):
                raise
            connection.close()
            return call(*args, **kwargs)

    return run
