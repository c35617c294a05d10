"""Addresses of clients, as servers and proxies write them."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

LONGEST_ENTRY: Final = 100
# `[2001:db8::7]`, `[2001:db8::7]:443` or `203.0.113.7:51234`, but `2001:db8::1:443` has no port.
_WITH_PORT: Final = re.compile(r"\[([^][]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


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
