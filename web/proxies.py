"""The client's address and scheme, read from the headers of trusted proxies.

The settings choose the source: GATEWAY_TOKEN, else TRUSTED_PROXY_COUNT, else the socket. Under
/admin/, a single sign-on proxy that sends a STAFF_GATEWAY_TOKEN also names the user. Under
/v1/authz/, a gateway's header also describes the request that it asks about.
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
# `[2001:db8::7]`, `[2001:db8::7]:443` or `203.0.113.7:51234`; `2001:db8::1:443` is an address.
_WITH_PORT: Final = re.compile(r"\[([^][]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")

FORWARD_AUTH_PATH: Final = "/v1/authz/"
STAFF_PATH: Final = "/admin/"
# The end of the single sign-on proxy's header. Values are literal: nothing is decoded.
_USER: Final = re.compile(r"(.*) user=([A-Za-z0-9._@+-]{1,150}) mfa=(yes|no)")

Fields = tuple[tuple[str, str], ...]


class Said(NamedTuple):
    """What trusted proxies report."""

    address: str | None  # None if it is unknown.
    scheme: str  # "" if it is unknown.
    user: str = ""  # With single sign-on.
    mfa: bool = False  # True if this user logged in with a second factor.
    fields: Fields | None = None  # Others of the header with the token, if there is this header.


class UnreadableHeader(Exception):
    """A proxy header is malformed, or its token is wrong. The text is its name, never its value."""


def read_proxies(environ: dict[str, Any]) -> Said:
    """Return what trusted proxies report of this request, or raise UnreadableHeader to refuse it.

    Removes the gateway's header from `environ`, so that no later code can show its token.
    """
    said = environ.pop("HTTP_REACHSCORE_GATEWAY", None)
    path = environ.get("PATH_INFO", "")
    if said is not None and settings.STAFF_GATEWAY_TOKENS and path.startswith(STAFF_PATH):
        if _bears(said, settings.STAFF_GATEWAY_TOKENS):
            return _from_staff_gateway(said)
        return _from_gateway(said, settings.GATEWAY_TOKENS)
    if said is not None and path.startswith(FORWARD_AUTH_PATH):
        # Refused if no token is configured: a header that is ignored could hold a requirement.
        return _from_gateway(said, settings.GATEWAY_TOKENS, asks=True)
    if settings.GATEWAY_TOKENS:
        # Without the header the address is unknown: the socket's is not the client's.
        return Said(None, "http") if said is None else _from_gateway(said, settings.GATEWAY_TOKENS)
    if settings.TRUSTED_PROXY_COUNT:
        return _from_forwarded(environ, settings.TRUSTED_PROXY_COUNT)
    return Said(read_entry(environ.get("REMOTE_ADDR", "")), "")


def _bears(said: str, tokens: tuple[bytes, ...]) -> bool:
    sent = said.partition(" ")[0].encode(errors="replace")
    return len(said) <= LONGEST_VALUE and any(compare_digest(sent, known) for known in tokens)


def _from_staff_gateway(said: str) -> Said:
    """Parse `<token> for=203.0.113.7 proto=https user=sam@corp mfa=yes`; user and mfa come last."""
    # A name cannot inject a field: after `sam mfa=yes` a second mfa follows, which is refused.
    found = _USER.fullmatch(said)
    if found is None:
        raise UnreadableHeader(GATEWAY)
    rest = _from_gateway(found[1], settings.STAFF_GATEWAY_TOKENS)
    return rest._replace(user=found[2], mfa=found[3] == "yes")


def _from_gateway(said: str, tokens: tuple[bytes, ...], *, asks: bool = False) -> Said:
    """Parse `<token> for=203.0.113.7 proto=https`: both fields once, in any order.

    If it `asks`, others may follow, and at the end `uri=`, whose value may hold anything. This
    function does not judge them: `apikeys.authentication.forward` does.
    """
    said, has_uri, uri = said.partition(" uri=") if asks else (said, "", "")
    if not _bears(said, tokens):
        raise UnreadableHeader(GATEWAY)
    fields = read_fields(said)[1:]
    others = tuple(field for field in fields if field[0] not in ("for", "proto"))
    more = (*others, ("uri", uri)) if has_uri else others
    match sorted(field for field in fields if field[0] in ("for", "proto")):
        case [("for", address), ("proto", "http" | "https" as scheme)] if asks or not others:
            try:
                return Said(read_address(address), scheme, fields=more)
            except ValueError:
                pass
    raise UnreadableHeader(GATEWAY)


def read_fields(text: str) -> Fields:
    """Return names and values of `name=value` with single spaces between. Checks nothing."""
    return tuple((name, value) for name, _, value in (f.partition("=") for f in text.split(" ")))


def _from_forwarded(environ: Mapping[str, Any], proxies: int) -> Said:
    """Read the entries of X-Forwarded-For and X-Forwarded-Proto by the outermost of `proxies`.

    Each proxy appends the address that it saw, so entries further left were written by the client.
    With fewer entries than proxies, the request bypassed a proxy and its address is unknown. A
    proxy may replace the scheme instead of appending it; only `https` counts as secure.
    """
    addresses = _last_entries(environ, "HTTP_X_FORWARDED_FOR", proxies)
    schemes = _last_entries(environ, "HTTP_X_FORWARDED_PROTO", proxies)
    address = read_entry(addresses[0]) if len(addresses) == proxies else None
    is_secure = bool(schemes) and schemes[0].strip().lower() == "https"
    return Said(address, "https" if is_secure else "http")


def _last_entries(environ: Mapping[str, Any], key: str, count: int) -> list[str]:
    """Return the last `count` entries of a header's list, or [] if the header is absent."""
    value = environ.get(key)
    if value is None:
        return []
    entries: list[str] = value.rsplit(",", count)[-count:]
    # granian passes an empty value for a line with a byte of 0x80 or above, so a client could erase
    # what the proxies wrote.
    if not entries[0].strip():
        raise UnreadableHeader(key.removeprefix("HTTP_").replace("_", "-").title())
    return entries


def read_entry(text: str) -> str | None:
    """Return the address in an entry of X-Forwarded-For, or None if it has none.

    Removes what proxies may add: a port, brackets, quotes, and an IPv6 zone (`fe80::1%eth0`), which
    is free text and has a meaning on one machine only.
    """
    text = text.strip()
    if len(text) > LONGEST_ENTRY:
        return None
    try:
        return read_address(text)  # Fast path: a bare address, as a rule cached.
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


@lru_cache(maxsize=1000)  # Exceptions are not cached.
def read_address(text: str) -> str:
    """Return an address in canonical form, IPv4-mapped IPv6 as IPv4, or raise ValueError."""
    if "%" in text:
        raise ValueError("An address with a zone.")
    address = ip_address(text)
    return str((isinstance(address, IPv6Address) and address.ipv4_mapped) or address)
