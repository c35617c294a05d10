"""Heads that were printed by `verify_audit` and kept elsewhere."""

import re
from collections.abc import Iterable
from typing import Final

LINE: Final = re.compile(r"([!-~]{1,40}) ([0-9]{1,18}) ([0-9a-f]{64})")

# For each organization, the seals of some of its events by their numbers.
Kept = dict[str, dict[int, bytes]]


class HeadsUnreadable(Exception):
    """A file of heads that does not hold what it should; the text says what is wrong."""


def read_heads(lines: Iterable[str]) -> Kept:
    """Read lines `organization sequence seal`, of as many runs as were kept.

    Raises HeadsUnreadable.
    """
    kept: Kept = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise HeadsUnreadable(
                f"Line {number} is no head: it should hold an organization's id, a number and a "
                "seal of 64 hexadecimal digits."
            )
        organization_id, sequence, seal = match[1], int(match[2]), bytes.fromhex(match[3])
        seals = kept.setdefault(organization_id, {})
        if seals.setdefault(sequence, seal) != seal:
            raise HeadsUnreadable(f"Line {number} contradicts an earlier line.")
    if not kept:
        # As after `verify_audit --expect heads > heads`, where the shell empties it first.
        raise HeadsUnreadable("There is no head in it: was it overwritten before it was read?")
    return kept
