"""The addresses a key may be used from: IPv4 and IPv6 networks; none named means any address."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any, Final

from django.db import models

from web.errors.refusals import Faults, ParameterInvalid
from web.redaction import quote_input

MOST_NETWORKS: Final = 20

Network = IPv4Network | IPv6Network

# Python would also read netmasks, numbers and zones.
_SHAPE: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class NetworkField(models.Field):  # type: ignore[type-arg]
    """PostgreSQL's `cidr`: a network without host bits, written like `192.0.2.0/24`."""

    def db_type(self, connection: Any) -> str:
        return "cidr"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Return a network as `clean_networks` writes it: ::102:304, not PostgreSQL's ::1.2.3.4."""
        return value and write_network(ip_network(value))


def clean_networks(wanted: Sequence[str]) -> list[str]:
    """Return addresses and networks as `write_network` does, each once, in the order given.

    Raises ParameterInvalid for an empty list, for more than MOST_NETWORKS and for other texts.
    """
    if not 0 < len(wanted) <= MOST_NETWORKS:
        message = (
            f"allowed_ips must name 1 to {MOST_NETWORKS} addresses or networks; null allows any."
        )
        raise ParameterInvalid(message, field="allowed_ips")
    faults, cleaned = Faults(), dict[str, None]()
    for text in wanted:
        with faults.noted():
            cleaned[write_network(_parsed(text))] = None
    faults.refuse()
    return list(cleaned)


def write_network(network: Network) -> str:
    """Return the only spelling of a network: `192.0.2.0/24`, a single address as `192.0.2.7`."""
    return str(network.network_address if network.num_addresses == 1 else network)


def respelled(value: Any) -> Any:
    """Return a value of an audit event, networks in a list spelled anew: those of 0.2 have /32."""
    if not isinstance(value, list):
        return value
    read = [(text, _read(str(text), strict=True)) for text in value]
    return [write_network(network) if network else text for text, network in read]


def _parsed(text: str) -> Network:
    network = _read(text, strict=True)
    if network is not None:
        return _unmapped(network)
    shown = quote_input(text)
    if meant := _read(text, strict=False):
        # A wrong length is as likely as a wrong address: let the client say which.
        message = f"allowed_ips holds {shown}, which has bits beside the network."
        fix = f"Send “{meant}” for the whole network, or the address without a slash."
    else:
        message = f"allowed_ips holds {shown}, which is neither an address nor a network."
        fix = "Write addresses like 192.0.2.7 or 2001:db8::7, networks like 192.0.2.0/24."
    raise ParameterInvalid(message, fix=fix, field="allowed_ips")


def _read(text: str, *, strict: bool) -> Network | None:
    if not _SHAPE.fullmatch(text):
        return None
    try:
        return ip_network(text, strict=strict)
    except ValueError:
        return None


def _unmapped(network: Network) -> Network:
    """Return the IPv4 network that an IPv4-mapped IPv6 network stands for, or the network."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        return IPv4Network((int(address or 0), network.prefixlen - _MAPPED.prefixlen))
    return network


def is_within(inner: Iterable[str] | None, outer: Iterable[str] | None) -> bool:
    """Return True if every address of `inner` is one of `outer`. None is every address there is."""
    if inner is None or outer is None:
        return outer is None
    networks: list[Any] = [ip_network(network) for network in outer]
    # Neighbours are joined first: two halves allow the whole.
    allowed: dict[int, list[Any]] = {
        version: list(collapse_addresses(n for n in networks if n.version == version))
        for version in (4, 6)
    }
    smalls: list[Any] = [ip_network(network) for network in inner]
    return all(any(small.subnet_of(big) for big in allowed[small.version]) for small in smalls)
