"""Where the request being answered comes from: for the log, the audit log and address rules."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from reachscore.api.addresses import client_address
from reachscore.api.redaction import holds_key, printable, redact

LONGEST_USER_AGENT: Final = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """A client as it was seen; `address` is None where it cannot be known."""

    address: str | None = None
    raw_user_agent: str = ""

    @property
    def user_agent(self) -> str:
        """What the client calls itself, fit to be stored: printable, redacted, cut."""
        text = redact(printable(self.raw_user_agent[:1000]))
        if holds_key(text):  # Spaced out, which no pattern for running text finds.
            return "[redacted]"
        return text[:LONGEST_USER_AGENT].strip()


NOWHERE: Final = Origin()  # Outside of a request: commands.

_current: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


def begin_origin(meta: Mapping[str, Any]) -> None:
    """Note where the request that begins here, with this `META`, comes from."""
    _current.set(Origin(client_address(meta), meta.get("HTTP_USER_AGENT", "")))


def current_origin() -> Origin:
    """Return where the request being answered comes from."""
    return _current.get()
