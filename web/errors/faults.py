"""Telling a database that is away, busy or read-only from a bug."""

import logging

import psycopg
from django.db import DataError, InterfaceError, InternalError, OperationalError

from web.context import current
from web.database.base import CommitUnconfirmed

logger = logging.getLogger("reachscore.api")


def is_database_fault(exception: BaseException | None) -> bool:
    """Tell whether this will pass by itself: a lost or refused connection, a timeout, read-only."""
    if isinstance(exception, InternalError):
        return isinstance(exception.__cause__, psycopg.errors.ReadOnlySqlTransaction)
    return isinstance(exception, OperationalError | InterfaceError)


class OnlyBugs(logging.Filter):
    """Passes only bugs of `django.request`, and the request id in the place of the raw path.

    What is no bug has its line already, with the route: `reachscore.request`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or is_database_fault(error) or isinstance(error, DataError):
            return False
        record.msg, record.args = "Bug behind request %s", (current().request_id,)
        return True


def is_unconfirmed(exception: BaseException | None) -> bool:
    """Return True if what was asked for may have been done."""
    return exception is not None and isinstance(exception.__cause__, CommitUnconfirmed)


def describe_fault(exception: Exception) -> str:
    """Return the driver's class and SQLSTATE; the message could hold values."""
    cause = exception.__cause__
    state = getattr(cause, "sqlstate", None) or "no SQLSTATE"
    return f"{type(cause or exception).__name__}, {state}"


def log_database_fault(exception: Exception) -> None:
    """Log which fault it was."""
    fault = describe_fault(exception)
    logger.warning("Database fault behind request %s: %s", current().request_id, fault)
