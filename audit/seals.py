"""The seal of an audit event: an HMAC over what the event says and the seal before it.

Whoever can write to the database, but does not have the key, can neither change an event nor add,
drop or move one without the chain of seals showing it. Nothing here asks the database.
"""

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_interface
from typing import Any, Final, Never

GENESIS: Final = bytes(32)  # In place of a predecessor's seal, before the first event.


def seal(columns: Mapping[str, Any], *, after: bytes, key: bytes) -> bytes:
    """Return the seal, 32 bytes, of an event with these columns `after` one with that seal."""
    # The seal before has a fixed length, so no other pair makes the same message.
    return hmac.digest(key, after + canonical(columns), "sha256")


def canonical(columns: Mapping[str, Any]) -> bytes:
    """Return what an event says as JSON of one form only: sorted, compact, in ASCII.

    A column that is null is left out, so that one which a later version adds breaks no seal.
    """
    content = {name: value for name, value in columns.items() if value is not None}
    if "ip" in content:
        content["ip"] = _address(content["ip"])
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=_moment).encode()


def as_stored(changes: Mapping[str, Any]) -> Any:
    """Return `changes` as the database will give them back: with lists for tuples.

    Raises TypeError for what JSON does not have, and for floats: PostgreSQL keeps 1e22 and -0.0 as
    numbers that read back differently.
    """
    return json.loads(json.dumps(changes), parse_float=_refuse, parse_constant=_refuse)


def _refuse(number: str) -> Never:
    raise TypeError(f"Changes hold no floats: {number} would not be read back as it was written.")


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _address(text: str) -> str:
    """Python's versions and PostgreSQL spell some IPv6 addresses differently; bytes they do not."""
    interface = ip_interface(text)
    return f"{interface.packed.hex()}/{interface.network.prefixlen}"
