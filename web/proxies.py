"""The client's address and scheme, as far as what the proxies in front say can be believed.

There are three ways, by settings: GATEWAY_TOKEN, else TRUSTED_PROXY_COUNT, else the socket. Under
/admin/ the proxy of single sign-on, which proves itself by STAFF_GATEWAY_TOKEN, names a user, too.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, NamedTuple

from django.conf import settings

GATEWAY: Final = "ReachScore-Gateway"
LONGEST_VALUE: Final = 1000
LONGEST_ENTRY: Final = 100
# `[2001:db8::7]`, `[2001:db8::7]:443` or `203.0.113.7:51234`, but `2001:db8::1:443` has no port.
_WITH_PORT: Final = re.compile(r"\[([^][]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")

STAFF_PATH: Final = "/admin/"
# Ends what that proxy says. As it stands: nothing is decoded.
_USER: Final = re.compile(r"(.*) user=([A-Za-z0-9._@+-]{1,150}) mfa=(yes|no)")


class Said(NamedTuple):
    """What is believed: the client's address, None if unknown; the scheme, "" if nothing is said.

    With single sign-on also a user, and whether the provider asked for a second factor.
    """

    address: str | None
    scheme: str
    user: str = ""
    mfa: bool = False


class UnreadableHeader(Exception):
    """A header that only proxies should write is malformed, or its token is wrong. Bears its name.

    It never holds the value, which may contain a token.
    """


def read_proxies(environ: dict[str, Any]) -> Said:
    """Return what the proxies say that can be believed.

    Takes the gateway's header out of `environ`, so that nothing behind can show its token.

    Raises:
        UnreadableHeader: the request must be refused.
    """
    said = environ.pop("HTTP_REACHSCORE_GATEWAY", None)
    path = environ.get("PATH_INFO", "")
    if said is not None and settings.STAFF_GATEWAY_TOKENS and path.startswith(STAFF_PATH):
        if _bears(said, settings.STAFF_GATEWAY_TOKENS):
            return _from_staff_gateway(said)
        return _from_gateway(said, settings.GATEWAY_TOKENS)
    if settings.GATEWAY_TOKENS:
        # What did not come through the gateway is unknown: the socket's address is no client's.
        return Said(None, "http") if said is None else _from_gateway(said, settings.GATEWAY_TOKENS)
    if settings.TRUSTED_PROXY_COUNT:
        return _from_forwarded(environ, settings.TRUSTED_PROXY_COUNT)
    return Said(read_entry(environ.get("REMOTE_ADDR", "")), "")


def _bears(said: str, tokens: tuple[bytes, ...]) -> bool:
    """Return True if `said` is of a length that is read and begins with one of `tokens`."""
    sent = said.partition(" ")[0].encode(errors="replace")
    return len(said) <= LONGEST_VALUE and any(compare_digest(sent, known) for known in tokens)


def _from_staff_gateway(said: str) -> Said:
    """Read `<token> for=203.0.113.7 proto=https user=sam@corp mfa=yes`: these two last.

    A user that says more of itself, such as `sam mfa=yes`, is followed by another mfa: refused.
    """
    found = _USER.fullmatch(said)
    if found is None:
        raise UnreadableHeader(GATEWAY)
    rest = _from_gateway(found[1], settings.STAFF_GATEWAY_TOKENS)
    return rest._replace(user=found[2], mfa=found[3] == "yes")


def _from_gateway(said: str, tokens: tuple[bytes, ...]) -> Said:
    """Read `<token> for=203.0.113.7 proto=https`: each name once, in any order."""
    if not _bears(said, tokens):
        raise UnreadableHeader(GATEWAY)
    fields = sorted(field.partition("=")[::2] for field in said.split(" ")[1:])
    if [name for name, _ in fields] != ["for", "proto"]:
        raise UnreadableHeader(GATEWAY)
    (_, address), (_, scheme) = fields  # As they stand: nothing is decoded.
    if scheme not in ("http", "https"):
        raise UnreadableHeader(GATEWAY)
    try:
        return Said(read_address(address), scheme)
    except ValueError:
        raise UnreadableHeader(GATEWAY) from None


def _from_forwarded(environ: Mapping[str, Any], proxies: int) -> Said:
    """Read X-Forwarded-For and X-Forwarded-Proto as the outermost of `proxies` wrote them.

    Each proxy appends the address that it saw, so that whatever is left of the entry that counts
    was written by the client. Fewer entries than proxies means that a request came round one of
    them: unknown, never the next best entry. The scheme may be replaced instead of appended; what
    is not `https` exactly counts as plain.
    """
    addresses = _last_entries(environ, "HTTP_X_FORWARDED_FOR", proxies)
    schemes = _last_entries(environ, "HTTP_X_FORWARDED_PROTO", proxies)
    address = read_entry(addresses[0]) if len(addresses) == proxies else None
    is_secure = bool(schemes) and schemes[0].strip().lower() == "https"
    return Said(address, "https" if is_secure else "http")


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


def read_entry(text: str) -> str | None:
    """Return the address in an entry of X-Forwarded-For, or None if there is none.

    Proxies also write a port, brackets, quotes, or a zone (`fe80::1%eth0`), which is free text and
    means nothing away from the machine.
    """
    text = text.strip()
    if len(text) > LONGEST_ENTRY:
        return None
    try:
        return read_address(text)  # As a rule it is nothing else, and is known.
    except ValueError:
        pass
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    address, percent, _ = text.partition("%")
    try:
        return read_address(address) if ":" in address or not percent else None
    except ValueError:
        return None


@lru_cache(maxsize=1000)  # Of addresses alone: what raises is not kept.
def read_address(text: str) -> str:
    """Return an address in its one form: the same for an IPv4 client of a v4 and of a v6 socket.

    Raises:
        ValueError: `text` is anything but an address.
    """
    if "%" in text:
        raise ValueError("An address with a zone.")
    address = ip_address(text)
    return str((isinstance(address, IPv6Address) and address.ipv4_mapped) or address)
