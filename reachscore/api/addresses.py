"""Whose address a request comes from, as far as the proxies in front can be trusted to say."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from django.conf import settings


def client_address(meta: Mapping[str, Any]) -> str | None:
    """Return the client's address out of a request's `META`, in its one form; None where it cannot
    be known.

    Each trusted proxy appends the address that it saw to X-Forwarded-For, so the one that counts
    stands TRUSTED_PROXY_COUNT entries from the right; whatever is left of it the client wrote.
    Without proxies the header is not looked at. Fewer entries than proxies means that a request
    came round one of them: unknown, never the next best entry.
    """
    proxies = settings.TRUSTED_PROXY_COUNT
    if proxies < 1:
        return _normalized(meta.get("REMOTE_ADDR", ""))
    entries = meta.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return _normalized(entries[-proxies]) if len(entries) >= proxies else None


def _normalized(text: str) -> str | None:
    """Return an address in its one form, without its zone (`fe80::1%eth0`), which is free text and
    means nothing away from the machine."""
    address, percent, _ = text.strip().partition("%")
    if percent and ":" not in address:
        return None
    try:
        return _canonical(address)
    except ValueError:
        return None


@lru_cache(maxsize=1000)  # Of addresses alone: what raises is not kept.
def _canonical(text: str) -> str:
    """Return the same for an IPv4 client, whether it came over a v4 socket or a v6 one.

    Raises ValueError for what is no address.
    """
    address = ip_address(text)
    return str((isinstance(address, IPv6Address) and address.ipv4_mapped) or address)
