"""What a key looks like in running text, and how it is hidden there.

The shape stands in this lowest layer because everything that writes client input anywhere (logs,
messages, request ids) must recognise a key; `apikeys.format` builds on it.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

KEY_SHAPE: Final = r"rk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}"

# An underscore may also be `_5F`: so the admin quotes ids in its URLs.
_NAMED: Final = "rk_(?:5F)?(?:live|test)_(?:5F)?[0-9A-Za-z]{8}"
_WHOLE_KEY: Final = re.compile(KEY_SHAPE)
_PUBLIC_PART: Final = re.compile(r"rk_(?:live|test)_([0-9A-Za-z]{8})(?![0-9A-Za-z])")
# Broader than a whole key: one that lacks its last characters can be completed, by guessing or,
# where only the checksum is gone, by arithmetic.
_MOST_OF_A_KEY: Final = re.compile(f"{_NAMED}_(?:5F)?[0-9A-Za-z]{{16}}")
_TELLING_PART: Final = re.compile(f"({_NAMED})_(?:5F)?[0-9A-Za-z]{{6,38}}")
_ENCODED: Final = re.compile("[0-9A-Za-z_%]*%[0-9A-Za-z_%]*")
# White space, and what is as invisible: a key that was copied out of a page may hold it.
_BLANK: Final = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]+")


def holds_key(text: str) -> bool:
    """Return True if `text` holds a key, or most of one, spaced out or percent-encoded."""
    return _MOST_OF_A_KEY.search(_BLANK.sub("", _decoded(text))) is not None


def find_key(text: str) -> str | None:
    """Return the first whole key in `text`, though it be spaced out; any checksum will do."""
    found = _WHOLE_KEY.search(_BLANK.sub("", text))
    return found[0] if found else None


def find_locator(text: str) -> str | None:
    """Return the eight public characters of the first key in `text`, though it be cut short."""
    found = _PUBLIC_PART.search(text) or _PUBLIC_PART.search(_BLANK.sub("", text))
    return found[1] if found else None


def redact(text: str) -> str:
    """Return `text` with the secret part of every key replaced; the public locator stays."""
    if "%" in text:  # First: of a key that is encoded in part, the rest would stay.
        text = _ENCODED.sub(_redacted_word, text)
    return _TELLING_PART.sub(r"\1_[redacted]", text)


def _redacted_word(word: re.Match[str]) -> str:
    """Return a percent-encoded word as it is, or the locator alone if a key is encoded in it."""
    found = _TELLING_PART.search(_decoded(word[0]))
    return f"{found[1]}_[redacted]" if found else word[0]


def _decoded(text: str) -> str:
    """Return `text` percent-decoded twice: a link inside a link is encoded twice."""
    return unquote(unquote(text))


def printable(text: str) -> str:
    """Return `text` without control, formatting and blank characters, but for plain spaces."""
    return "".join(c for c in text if unicodedata.category(c)[0] not in "CZ" or c == " ")


def quote_input(value: object, *, limit: int = 40) -> str:
    """Return client input made fit for a message or a log: printable, redacted, cut, in quotes."""
    # In this order: an invisible character inside a key would hide it from the redaction.
    text = redact(printable(str(value)[:1000]))
    if holds_key(text):  # Spaced out, which no pattern for running text finds.
        text = "[redacted]"
    return f'"{text[:limit]}…"' if len(text) > limit else f'"{text}"'
