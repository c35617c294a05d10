"""Whose address a request comes from, as far as the proxies in front can be trusted to say."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from django.conf import settings

Address = IPv4Address | IPv6Address


def client_address(meta: Mapping[str, Any]) -> Address | None:
    """Return the client's address out of a request's `META`; None where it cannot be known.

    Each trusted proxy appends the address that it saw to X-Forwarded-For, so the one that counts
    stands TRUSTED_PROXY_COUNT entries from the right; whatever is left of it the client wrote.
    Without proxies the header is not looked at. Fewer entries than proxies means that a request
    came round one of them: unknown, never the next best entry.
    """
    proxies = settings.TRUSTED_PROXY_COUNT
    if proxies < 1:
        return _parsed(meta.get("REMOTE_ADDR", ""))
    entries = meta.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return _parsed(entries[-proxies]) if len(entries) >= proxies else None


def _parsed(text: str) -> Address | None:
    """Return an address in its one form: an IPv4 client is the same over a v6 socket."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    # Without the zone (`fe80::1%eth0`): it is free text, and means nothing away from the machine.
    return address.ipv4_mapped or IPv6Address(int(address))
