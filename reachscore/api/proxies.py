"""The client's address and scheme, as far as what the proxies in front say can be believed.

There are three ways, by settings: GATEWAY_TOKEN, else TRUSTED_PROXY_COUNT, else the socket.
"""

from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Any, Final

from django.conf import settings

from reachscore.api.addresses import read_address, read_entry

GATEWAY: Final = "ReachScore-Gateway"
LONGEST_VALUE: Final = 1000

AddressAndScheme = tuple[str | None, str]


class UnreadableHeader(Exception):
    """A header that only proxies should write is malformed, or its token is wrong. Bears its name.

    It never holds the value, which may contain a token.
    """


def read_proxies(environ: dict[str, Any]) -> AddressAndScheme:
    """Return the client's address, None if unknown, and scheme, "" if nothing is said of it.

    Takes the gateway's header out of `environ`, so that nothing behind can show its token.

    Raises:
        UnreadableHeader: the request must be refused.
    """
    said = environ.pop("HTTP_REACHSCORE_GATEWAY", None)
    if settings.GATEWAY_TOKENS:
        # What did not come through the gateway is unknown: the socket's address is no client's.
        return (None, "http") if said is None else _from_gateway(said)
    if settings.TRUSTED_PROXY_COUNT:
        return _from_forwarded(environ, settings.TRUSTED_PROXY_COUNT)
    return read_entry(environ.get("REMOTE_ADDR", "")), ""


def _read_scheme(text: str) -> str:
    if text not in ("http", "https"):
        raise ValueError("Neither http nor https.")
    return text


# What a gateway says beside its token. Values are read as they stand; nothing is decoded.
_READERS: Final[Mapping[str, Callable[[str], str]]] = {"for": read_address, "proto": _read_scheme}


def _from_gateway(said: str) -> AddressAndScheme:
    """Read `<token> for=203.0.113.7 proto=https`: each name once, in any order."""
    if len(said) > LONGEST_VALUE:
        raise UnreadableHeader(GATEWAY)
    token, *rest = said.split(" ")
    sent = token.encode(errors="replace")
    if not any(compare_digest(sent, known) for known in settings.GATEWAY_TOKENS):
        raise UnreadableHeader(GATEWAY)
    fields = [field.partition("=") for field in rest]
    if sorted(name for name, _, _ in fields) != sorted(_READERS):
        raise UnreadableHeader(GATEWAY)
    try:
        read = {name: _READERS[name](value) for name, _, value in fields}
    except ValueError:
        raise UnreadableHeader(GATEWAY) from None
    return read["for"], read["proto"]


def _from_forwarded(environ: Mapping[str, Any], proxies: int) -> AddressAndScheme:
    """Read X-Forwarded-For and X-Forwarded-Proto as the outermost of `proxies` wrote them.

    Each proxy appends the address that it saw, so that whatever is left of the entry that counts
    was written by the client. Fewer entries than proxies means that a request came round one of
    them: unknown, never the next best entry. The scheme may be replaced instead of appended; what
    is not `https` exactly counts as plain.
    """
    addresses = _last_entries(environ, "HTTP_X_FORWARDED_FOR", proxies)
    schemes = _last_entries(environ, "HTTP_X_FORWARDED_PROTO", proxies)
    address = read_entry(addresses[0]) if len(addresses) == proxies else None
    return address, "https" if schemes and schemes[0].strip().lower() == "https" else "http"


def _last_entries(environ: Mapping[str, Any], key: str, count: int) -> list[str]:
    """Return the last `count` entries of the list under `key`; none if the header is absent.

    An empty first one is refused, not taken for none: the server hands over an empty value for a
    line with any byte of 0x80 or above, so a client could empty what the proxies wrote.
    """
    value = environ.get(key)
    if value is None:
        return []
    entries: list[str] = value.rsplit(",", count)[-count:]
    if not entries[0].strip():
        raise UnreadableHeader(key.removeprefix("HTTP_").replace("_", "-").title())
    return entries
