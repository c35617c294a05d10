"""Public ids and random base62 text."""

import secrets
from typing import Final

BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Two digits at once: every request has ids.
_PAIRS: Final = [a + b for a in BASE62 for b in BASE62]


def base62(number: int, *, length: int) -> str:
    """Return the last `length` base62 digits of a number, padded with zeros."""
    text = ""
    for _ in range(0, length, 2):
        number, digits = divmod(number, 62**2)
        text = _PAIRS[digits] + text
    return text[-length:]


def random_base62(length: int) -> str:
    """Return `length` characters from the system's CSPRNG, 5.95 bits each."""
    return base62(secrets.randbelow(62**length), length=length)


def new_id(prefix: str) -> str:
    """Return a public id such as `key_3iS8wW2xYbC4`; its 71 random bits make it unique."""
    return f"{prefix}_{random_base62(12)}"
