"""The id under which one request is found again: in its answer, in the log, in the audit log."""

import re
from contextvars import ContextVar
from typing import Final

from web.ids import new_id
from web.redaction import redact

_FROM_CLIENT: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")

_current: ContextVar[str] = ContextVar("request_id", default="")


def begin_request(sent_by_client: str) -> str:
    """Name the request that begins here: as the client asks, where that is safe to log.

    An id that looks like a key is not: it would end up in logs and the audit log.
    """
    usable = _FROM_CLIENT.fullmatch(sent_by_client) and redact(sent_by_client) == sent_by_client
    request_id = sent_by_client if usable else new_id("req")
    _current.set(request_id)
    return request_id


def current_request_id() -> str:
    """Return the id of the request being answered; empty outside of one."""
    return _current.get()
