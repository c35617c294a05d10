"""What a connection has prepared outlives a change of the schema; here it does so once at most."""

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connections

P = ParamSpec("P")
T = TypeVar("T")

# SQLSTATEs: a plan's columns have other types since; a statement that DISCARD ALL or a pooler took
# away, or that a pooler has from somebody else; a trigger's plan whose row has other types since.
STALE: Final = frozenset({"0A000", "26000", "42P05", "42804"})


class StaleInTransaction(psycopg.ProgrammingError):
    """A transaction failed by what its connection had prepared, and so wrote nothing."""


class StaleOnceCursor(psycopg.Cursor[Any]):
    """Outside a transaction, runs a statement once more if what was prepared of it is stale."""

    def execute(self, *args: Any, **kwargs: Any) -> "StaleOnceCursor":
        """Run a statement. Raise StaleInTransaction if only the transaction can be repeated."""
        try:
            return super().execute(*args, **kwargs)
        except psycopg.Error as error:
            if error.sqlstate not in STALE:
                raise
            if not self.connection.autocommit:
                raise StaleInTransaction(str(error)) from error
            self.connection.execute("DEALLOCATE ALL")  # psycopg forgets them, too.
            return super().execute(*args, **kwargs)


def once_more(call: Callable[P, T]) -> Callable[P, T]:
    """Return `call`; after StaleInTransaction it runs once more, on a new connection.

    For calls of one transaction: another one, committed before, would be repeated, too.
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
