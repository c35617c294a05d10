"""Small writes that wait until a request is known to have succeeded."""

import logging
from collections.abc import Callable
from contextvars import ContextVar

from django.db import DatabaseError, InterfaceError

from reachscore.api.request_id import current_request_id

logger = logging.getLogger("reachscore.api")

_waiting: ContextVar[list[Callable[[], object]] | None] = ContextVar("after_success", default=None)


def begin_after_success() -> list[Callable[[], object]]:
    """Forget what an earlier request left; return what this one will collect."""
    calls: list[Callable[[], object]] = []
    _waiting.set(calls)
    return calls


def after_success(call: Callable[[], object]) -> None:
    """Have `call` run once the request at hand is answered below 400; outside of one, never."""
    calls = _waiting.get()
    if calls is not None:
        calls.append(call)


def run_after_success(calls: list[Callable[[], object]]) -> None:
    """Run them. What was done is done: a database that fails now costs them, not the answer."""
    try:
        for call in calls:
            call()
    except (DatabaseError, InterfaceError) as error:
        name = type(error).__name__
        logger.warning("Not noted after request %s: %s", current_request_id(), name)
