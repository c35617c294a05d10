"""What a key looks like in running text, and how it is hidden there.

The shape stands in this lowest layer because everything that writes client input anywhere (logs,
messages, request ids) must recognise a key; `apikeys.keys` builds on it.
"""

import logging
import re
import unicodedata
from typing import Final

KEY_SHAPE: Final = r"rk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}"

_WHOLE_KEY: Final = re.compile(KEY_SHAPE)
_PUBLIC_PART: Final = re.compile(r"rk_(?:live|test)_([0-9A-Za-z]{8})(?![0-9A-Za-z])")
# Broader than a whole key: one that lacks its last characters can be completed, by guessing or,
# where only the checksum is gone, by arithmetic.
_MOST_OF_A_KEY: Final = re.compile(r"rk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{16}")
_TELLING_PART: Final = re.compile(r"(rk_(?:live|test)_[0-9A-Za-z]{8})_[0-9A-Za-z]{6,}")


def holds_key(text: str) -> bool:
    """Tell whether a key, or most of one, stands anywhere in `text`, however it is spaced out."""
    return _MOST_OF_A_KEY.search(_joined(text)) is not None


def find_key(text: str) -> str | None:
    """Return the first whole key in `text`, though it be spaced out; any checksum will do."""
    found = _WHOLE_KEY.search(_joined(text))
    return found[0] if found else None


def find_locator(text: str) -> str | None:
    """Return the eight public characters of the first key in `text`, though it be cut short."""
    found = _PUBLIC_PART.search(text) or _PUBLIC_PART.search(_joined(text))
    return found[1] if found else None


def _joined(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text)
    return "".join(c for c in plain if unicodedata.category(c) != "Cf" and not c.isspace())


def redact(text: str) -> str:
    """Return `text` with the secret part of every key replaced; the public locator stays."""
    return _TELLING_PART.sub(r"\1_[redacted]", text)


def quote_input(value: object, *, limit: int = 40) -> str:
    """Return client input made fit for an error message: redacted, printable, cut, in quotes."""
    text = redact(str(value)[:1000])
    text = "".join(c for c in text if unicodedata.category(c)[0] not in "CZ" or c == " ")
    return f'"{text[:limit]}…"' if len(text) > limit else f'"{text}"'


class RedactingFilter(logging.Filter):
    """Hides keys in every record: Django itself logs the path of a 404, and a path can hold one."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if redact(message) != message:
            record.msg, record.args = redact(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True
