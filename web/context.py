"""The context of the current request: one object in one ContextVar."""

import logging
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import DatabaseError, InterfaceError

from web.deadlines import DEADLINES
from web.ids import new_id
from web.proxies import Fields, Said, UnreadableHeader, read_proxies
from web.redaction import redact, safe_text

logger = logging.getLogger("reachscore.api")

LONGEST_USER_AGENT: Final = 200
_ID_FROM_CLIENT: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass(slots=True)
class RequestContext:
    """What code deep inside a request reads, and what it adds to the response."""

    request_id: str = ""  # In the response, in the log and in the audit log.
    address: str | None = None  # The client's, None if it is unknown.
    raw_user_agent: str | None = None
    unreadable: str = ""  # The name of a malformed proxy header, for which to refuse the request.
    user: str = ""  # That the single sign-on proxy names, under /admin/ only.
    mfa: bool = False  # True if this user logged in there with a second factor.
    # What a gateway says of the request it asks about, under /v1/authz/; None if it sent no token.
    gateway: Fields | None = None
    # When the last wait for the database must end, on the monotonic clock. None when the request
    # has been answered, so also while a streamed answer is sent.
    deadline: float | None = None
    has_committed: bool = False  # True after a transaction: a fault that follows does not undo it.
    key_id: str | None = None  # The caller's, like the next: set by authentication.
    organization_id: str | None = None
    is_simulated: bool = False  # True if the client asked for this refusal by ReachScore-Simulate.
    # For every response under /v1, refusals and bugs too. Never put client input into a value.
    headers: dict[str, str] = field(default_factory=dict)
    # Small writes to run after the response if its status is below 400.
    calls: list[Callable[[], object]] = field(default_factory=list)

    @property
    def user_agent(self) -> str:
        """The User-Agent, safe to store: printable, redacted, cut."""
        if self.raw_user_agent is None:
            return ""
        # granian passes an empty value if the header has a byte of 0x80 or above.
        return safe_text(self.raw_user_agent)[:LONGEST_USER_AGENT].strip() or "(not readable)"

    def allow(self, row: str) -> None:
        """Set the deadline anew, by this row of DEADLINES. Outside a request, do nothing."""
        if self.deadline is not None:
            self.deadline = time.monotonic() + DEADLINES[row]

    def succeed(self) -> None:
        """Run `calls`. If the database fails, the writes are lost, but not the response."""
        try:
            for call in self.calls:
                call()
        except (DatabaseError, InterfaceError) as error:
            kind = type(error).__name__
            logger.warning("Writes lost after request %s: %s", self.request_id, kind)


_current: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def begin_request(environ: dict[str, Any]) -> RequestContext:
    """Create the current request's context, and set the scheme that the proxies report."""
    unreadable = ""
    try:
        said = read_proxies(environ)
    except UnreadableHeader as error:
        # The request is refused: a page must not be redirected to HTTPS before it says why.
        said, unreadable = Said(None, "https"), str(error)
    if said.scheme:
        environ["wsgi.url_scheme"] = said.scheme  # Django reads it there.
    sent_id = environ.get("HTTP_REQUEST_ID", "")
    # What looks like a key is not safe: an id is written to the logs and the audit log.
    is_safe = _ID_FROM_CLIENT.fullmatch(sent_id) and redact(sent_id) == sent_id
    context = RequestContext(
        request_id=sent_id if is_safe else new_id("req"),
        address=said.address,
        raw_user_agent=environ.get("HTTP_USER_AGENT"),
        unreadable=unreadable,
        user=said.user,
        mfa=said.mfa,
        gateway=said.fields,
        deadline=time.monotonic() + DEADLINES["request"],
    )
    _current.set(context)
    return context


def current() -> RequestContext:
    """Return the current request's context, or an empty one outside a request."""
    return _current.get() or RequestContext()
