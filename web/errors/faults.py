"""Classification of exceptions: database faults, unconfirmed commits, bugs."""

import logging

import psycopg
from django.db import DataError, InterfaceError, InternalError, OperationalError

from web.context import current
from web.database.base import CommitUnconfirmed

logger = logging.getLogger("reachscore.api")


def is_database_fault(exception: BaseException | None) -> bool:
    """Return True for a temporary fault: connection lost or refused, time-out, read-only server."""
    if isinstance(exception, InternalError):
        return isinstance(exception.__cause__, psycopg.errors.ReadOnlySqlTransaction)
    return isinstance(exception, OperationalError | InterfaceError)


class OnlyBugs(logging.Filter):
    """Log filter for `django.request`: passes bugs only, with the request id for the raw path.

    Other failures already have a line of `reachscore.request`, with the route.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or is_database_fault(error) or isinstance(error, DataError):
            return False
        record.msg, record.args = "Bug behind request %s", (current().request_id,)
        return True


def is_unconfirmed(exception: BaseException | None) -> bool:
    """Return True if the request may have been carried out before this database fault."""
    if current().has_committed and is_database_fault(exception):
        return True
    return exception is not None and isinstance(exception.__cause__, CommitUnconfirmed)


def describe_fault(exception: BaseException | None) -> str:
    """Return the driver's exception class and SQLSTATE. Its message may hold values."""
    cause = exception and exception.__cause__
    state = getattr(cause, "sqlstate", None) or "no SQLSTATE"
    return f"{type(cause or exception).__name__}, {state}"


def log_database_fault(exception: Exception) -> None:
    """Log the class and SQLSTATE of a database fault."""
    fault = describe_fault(exception)
    logger.warning("Database fault behind request %s: %s", current().request_id, fault)
