"""Telling a database that is away, busy or read-only from a bug."""

import logging

import psycopg
from django.db import InterfaceError, InternalError, OperationalError

from reachscore.api.request_id import current_request_id

logger = logging.getLogger("reachscore.api")


def is_database_fault(exception: BaseException | None) -> bool:
    """Tell whether this will pass by itself: a lost or refused connection, a timeout, read-only."""
    if isinstance(exception, InternalError):
        return isinstance(exception.__cause__, psycopg.errors.ReadOnlySqlTransaction)
    return isinstance(exception, OperationalError | InterfaceError)


def describe_fault(exception: Exception) -> str:
    """Return the driver's class and SQLSTATE; the message could hold values."""
    cause = exception.__cause__
    state = getattr(cause, "sqlstate", None) or "no connection"
    return f"{type(cause or exception).__name__}, {state}"


def log_database_fault(exception: Exception) -> None:
    """Log which fault it was."""
    fault = describe_fault(exception)
    logger.warning("Database fault behind request %s: %s", current_request_id(), fault)
