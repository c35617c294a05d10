"""Random base62 text and the public ids made of it."""

import secrets
from typing import Final

BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62(number: int, *, length: int) -> str:
    """Write a number as its last `length` base62 digits, zeros in front."""
    text = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        text = BASE62[digit] + text
    return text


def random_base62(length: int) -> str:
    """Return `length` characters from the system's CSPRNG, 5.95 bits each."""
    return base62(secrets.randbelow(62**length), length=length)


def new_id(prefix: str) -> str:
    """Return a public id such as `key_3iS8wW2xYbC4`: 71 random bits, unique without asking."""
    return f"{prefix}_{random_base62(12)}"
