"""Where the request being answered comes from: for the log, the audit log and address rules."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from web.errors.refusals import RequestInvalid
from web.proxies import GATEWAY, Said, UnreadableHeader, read_proxies
from web.redaction import holds_key, printable, redact

LONGEST_USER_AGENT: Final = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """A client as it was seen; `address` is None where it cannot be known.

    `unreadable` names the header of a proxy for which the request must be refused. `user` is whom
    the proxy of single sign-on names, under /admin/ only; `mfa` whether with a second factor.
    """

    address: str | None = None
    raw_user_agent: str | None = None
    unreadable: str = ""
    user: str = ""
    mfa: bool = False

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


NOWHERE: Final = Origin()  # Outside of a request: commands.

_current: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


def begin_origin(environ: dict[str, Any]) -> None:
    """Note where the request that begins here comes from, and write its scheme into `environ`."""
    said, unreadable = Said(None, ""), ""
    try:
        said = read_proxies(environ)
    except UnreadableHeader as error:
        unreadable = str(error)
    if said.scheme:
        environ["wsgi.url_scheme"] = said.scheme  # Where Django itself looks.
    agent = environ.get("HTTP_USER_AGENT")
    _current.set(Origin(said.address, agent, unreadable, said.user, said.mfa))


def current_origin() -> Origin:
    """Return where the request being answered comes from."""
    return _current.get()


def refuse_unreadable_origin() -> None:
    """Refuse a request about which its proxies cannot be understood.

    Raises:
        RequestInvalid: names the header.
    """
    name = _current.get().unreadable
    if name == GATEWAY:
        message = "ReachScore-Gateway is malformed, or its token is not the gateway's."
        fix = (
            "Send no such header: only a gateway of this service may. Operators: it must read "
            "“<token> for=<address> proto=<http or https>”, with a token of GATEWAY_TOKEN."
        )
        if settings.STAFF_GATEWAY_TOKENS:
            fix += (
                " Under /admin/, after a token of STAFF_GATEWAY_TOKEN and those two, it must end "
                "“user=<1 to 150 of A–Z a–z 0–9 . _ @ + -> mfa=<yes or no>”, with nothing encoded."
            )
        raise RequestInvalid(message, fix=fix, field=name)
    if name:
        message = f"{name}, which only proxies write, is empty or not plain ASCII."
        raise RequestInvalid(message, fix="Send no such header.", field=name)
