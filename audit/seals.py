"""Seals of audit events: a hash chain, each seal an HMAC over the event and the seal before it.

An attacker who can write to the database, but does not have the key, cannot change, add, remove or
move an event without breaking the chain. These functions make no query.
"""

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_interface
from typing import Any, Final, Never

GENESIS: Final = bytes(32)  # The previous seal of the first event.


def seal(columns: Mapping[str, Any], *, after: bytes, key: bytes) -> bytes:
    """Return the seal (32 bytes) of an event with these columns; `after` is the previous seal."""
    # `after` has a fixed length, so no other pair gives the same message.
    return hmac.digest(key, after + canonical(columns), "sha256")


def canonical(columns: Mapping[str, Any]) -> bytes:
    """Return an event as canonical JSON: sorted, compact, in ASCII.

    Null columns are left out, so that a column added later does not break old seals.
    """
    content = {name: value for name, value in columns.items() if value is not None}
    if "ip" in content:
        content["ip"] = _address(content["ip"])
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=_moment).encode()


def as_stored(changes: Mapping[str, Any]) -> Any:
    """Return `changes` as the database returns them, with lists in place of tuples.

    Raises TypeError for types that JSON lacks, and for floats: PostgreSQL changes how 1e22 and -0.0
    are written, which would break the seal.
    """
    return json.loads(json.dumps(changes), parse_float=_refuse, parse_constant=_refuse)


def _refuse(number: str) -> Never:
    raise TypeError(f"Changes hold no floats: {number} would not be read back as it was written.")


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _address(text: str) -> str:
    """Return an address as bytes in hex: its spelling differs between Pythons and PostgreSQL."""
    interface = ip_interface(text)
    return f"{interface.packed.hex()}/{interface.network.prefixlen}"
