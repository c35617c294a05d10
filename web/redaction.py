"""Detection and redaction of API keys in text.

The shape of a key is in this lowest room because all code that writes client input (logs, messages,
request ids) must recognise a key. `apikeys.plaintext` builds on it.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

KEY_SHAPE: Final = r"rk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}"

# An underscore may be written `_5F`: the admin quotes ids so in its URLs.
_NAMED: Final = "rk_(?:5F)?(?:live|test)_(?:5F)?[0-9A-Za-z]{8}"
_WHOLE_KEY: Final = re.compile(KEY_SHAPE)
_PUBLIC_PART: Final = re.compile(r"rk_(?:live|test)_([0-9A-Za-z]{8})(?![0-9A-Za-z])")
# Broader than a whole key: if its last characters are missing, they can be guessed, or computed if
# they are the checksum.
_MOST_OF_A_KEY: Final = re.compile(f"{_NAMED}_(?:5F)?[0-9A-Za-z]{{16}}")
_TELLING_PART: Final = re.compile(f"({_NAMED})_(?:5F)?[0-9A-Za-z]{{6,38}}")
_ENCODED: Final = re.compile("[0-9A-Za-z_%]*%[0-9A-Za-z_%]*")
# White space and invisible characters, which a key copied from a page may contain.
_BLANK: Final = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]+")


def holds_key(text: str) -> bool:
    """Return True if `text` holds a key, or most of one, spaced out or percent-encoded."""
    return _MOST_OF_A_KEY.search(_BLANK.sub("", _decoded(text))) is not None


def find_key(text: str) -> str | None:
    """Return the first whole key in `text`, even with blanks inside. Ignores the checksum."""
    found = _WHOLE_KEY.search(_BLANK.sub("", text))
    return found[0] if found else None


def find_locator(text: str) -> str | None:
    """Return the locator of the first key in `text`, even if the key is incomplete."""
    found = _PUBLIC_PART.search(text) or _PUBLIC_PART.search(_BLANK.sub("", text))
    return found[1] if found else None


def redact(text: str) -> str:
    """Return `text` with the secret part of every key replaced; the locator is kept."""
    if "%" in text:  # First, because a partly encoded key would be replaced only in part.
        text = _ENCODED.sub(_redacted_word, text)
    return _TELLING_PART.sub(r"\1_[redacted]", text)


def _redacted_word(word: re.Match[str]) -> str:
    """Return a percent-encoded word unchanged, or only the locator if it encodes a key."""
    found = _TELLING_PART.search(_decoded(word[0]))
    return f"{found[1]}_[redacted]" if found else word[0]


def _decoded(text: str) -> str:
    """Return `text` percent-decoded twice: a link inside a link is encoded twice."""
    return unquote(unquote(text))


def printable(text: str) -> str:
    """Return `text` without control, format and separator characters, except plain spaces."""
    return "".join(c for c in text if unicodedata.category(c)[0] not in "CZ" or c == " ")


def safe_text(value: object) -> str:
    """Return client input, safe to store and to show: bounded, printable, redacted."""
    # In this order: an invisible character inside a key would hide the key from `redact`.
    text = redact(printable(str(value)[:1000]))
    # `redact` cannot find a key with spaces between.
    return "[redacted]" if holds_key(text) else text


def quote_input(value: object, *, limit: int = 40) -> str:
    """Return client input, safe for a message or a log, cut and in quotes."""
    text = safe_text(value)
    return f'"{text[:limit]}…"' if len(text) > limit else f'"{text}"'
