"""The request at hand, in one object: what is known of it, and what its answer still needs."""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import DatabaseError, InterfaceError

from web.ids import new_id
from web.proxies import Said, UnreadableHeader, read_proxies
from web.redaction import holds_key, printable, redact

logger = logging.getLogger("reachscore.api")

LONGEST_USER_AGENT: Final = 200
_ID_FROM_CLIENT: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass(slots=True)
class RequestContext:
    """Everything that code deep inside a request reads, or leaves for the answer.

    - `request_id`: names the request in its answer, in the log and in the audit log.
    - `address`: the client's, None if it cannot be known.
    - `unreadable`: the name of a proxy's header for which the request must be refused.
    - `user`, `mfa`: under /admin/ only, the user that the proxy of single sign-on names, and
      whether with a second factor.
    - `key_id`, `organization_id`: who the request acts as, once that is known.
    - `is_simulated`: the request asked to be refused, so a refusal is no fault.
    - `headers`: put on every answer under /v1, refusals and bugs included. Values must be fit for
      a header: nothing that a client wrote.
    - `calls`: small writes, made after the response if its status is below 400.
    """

    request_id: str = ""
    address: str | None = None
    raw_user_agent: str | None = None
    unreadable: str = ""
    user: str = ""
    mfa: bool = False
    key_id: str | None = None
    organization_id: str | None = None
    is_simulated: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    calls: list[Callable[[], object]] = field(default_factory=list)

    @property
    def user_agent(self) -> str:
        """What the client calls itself, fit to be stored: printable, redacted, cut.

        The server hands over an empty value for one with any byte of 0x80 or above.
        """
        if self.raw_user_agent is None:
            return ""
        text = redact(printable(self.raw_user_agent[:1000]))
        if holds_key(text):  # Spaced out, which no pattern for running text finds.
            return "[redacted]"
        return text[:LONGEST_USER_AGENT].strip() or "(not readable)"

    def succeed(self) -> None:
        """Make the writes. A database that fails now costs them, not the answer."""
        try:
            for call in self.calls:
                call()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("Not noted after request %s: %s", self.request_id, type(error).__name__)


_current: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def begin_request(environ: dict[str, Any]) -> RequestContext:
    """Begin the context of a request, and write the scheme that proxies say into `environ`."""
    said, unreadable = Said(None, ""), ""
    try:
        said = read_proxies(environ)
    except UnreadableHeader as error:
        unreadable = str(error)
    if said.scheme:
        environ["wsgi.url_scheme"] = said.scheme  # Where Django itself looks.
    context = RequestContext(
        request_id=_request_id(environ.get("HTTP_REQUEST_ID", "")),
        address=said.address,
        raw_user_agent=environ.get("HTTP_USER_AGENT"),
        unreadable=unreadable,
        user=said.user,
        mfa=said.mfa,
    )
    _current.set(context)
    return context


def current() -> RequestContext:
    """Return the context of the request being answered; outside of one, an empty one."""
    return _current.get() or RequestContext()


def _request_id(sent_by_client: str) -> str:
    """Return the id that the client asks for if that is safe to log, else a new one.

    An id that looks like a key is not safe: it would end up in logs and the audit log.
    """
    usable = _ID_FROM_CLIENT.fullmatch(sent_by_client) and redact(sent_by_client) == sent_by_client
    return sent_by_client if usable else new_id("req")
