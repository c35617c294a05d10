"""Headers and calls that code deep inside a request leaves for its answer, good or bad."""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError

from web.request_id import current_request_id

logger = logging.getLogger("reachscore.api")


@dataclass
class Answering:
    """Headers for the answer, and small writes that wait until the request has succeeded."""

    headers: dict[str, str] = field(default_factory=dict)
    calls: list[Callable[[], object]] = field(default_factory=list)

    def succeed(self) -> None:
        """Make the writes. A database that fails now costs them, not the answer."""
        try:
            for call in self.calls:
                call()
        except (DatabaseError, InterfaceError) as error:
            name = type(error).__name__
            logger.warning("Not noted after request %s: %s", current_request_id(), name)


_current: ContextVar[Answering | None] = ContextVar("answering", default=None)


def begin_answering() -> Answering:
    """Forget what an earlier request left; return what this one will collect."""
    answering = Answering()
    _current.set(answering)
    return answering


def after_success(call: Callable[[], object]) -> None:
    """Run `call` after the response if its status is below 400. Outside a request, do nothing."""
    if answering := _current.get():
        answering.calls.append(call)


def drop_response_header(name: str) -> None:
    """Take back a header that was added for every answer."""
    if answering := _current.get():
        answering.headers.pop(name, None)


def add_response_header(name: str, value: str) -> None:
    """Put a header on every answer to the request at hand, refusals and bugs included.

    `value` must be fit for a header: nothing that a client wrote. Outside a request it is lost.
    """
    if answering := _current.get():
        answering.headers[name] = value
