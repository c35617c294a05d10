"""What a key looks like in running text, and how it is hidden there.

The shape stands in this lowest layer because everything that writes client input anywhere (logs,
messages, request ids) must recognise a key; `apikeys.keys` builds on it.
"""

import re
import unicodedata
from typing import Final

KEY_SHAPE: Final = r"rk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}"

# A raw query, Referer or request line is percent-encoded, once or, as a link inside a link, more
# often, and any character may be: `rk%5Flive%255F…` is a key to whoever decodes it.
_PERCENT: Final = "%(?:25)*"
_BASE62: Final = f"(?:[0-9A-Za-z]|{_PERCENT}(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]))"


def _encoded(text: str) -> str:
    """Return a pattern of `text` with each of its characters plain or percent-encoded.

    An underscore may also be `_5F`: so the admin quotes ids in its URLs.
    """
    plain = {"_": "_(?:5F)?"}
    return "".join(f"(?:{plain.get(c, c)}|{_PERCENT}(?i:{ord(c):02x}))" for c in text)


_NAMED: Final = (
    f"{_encoded('rk_')}(?:{_encoded('live')}|{_encoded('test')}){_encoded('_')}{_BASE62}{{8}}"
)
_WHOLE_KEY: Final = re.compile(KEY_SHAPE)
_PUBLIC_PART: Final = re.compile(r"rk_(?:live|test)_([0-9A-Za-z]{8})(?![0-9A-Za-z])")
# Broader than a whole key: one that lacks its last characters can be completed, by guessing or,
# where only the checksum is gone, by arithmetic.
_MOST_OF_A_KEY: Final = re.compile(f"{_NAMED}{_encoded('_')}{_BASE62}{{16}}")
_TELLING_PART: Final = re.compile(f"({_NAMED}){_encoded('_')}{_BASE62}{{6,}}")


def holds_key(text: str) -> bool:
    """Tell whether a key, or most of one, stands in `text`, however it is spaced or encoded."""
    joined = _joined(text)
    return _may_hold(joined) and _MOST_OF_A_KEY.search(joined) is not None


def find_key(text: str) -> str | None:
    """Return the first whole key in `text`, though it be spaced out; any checksum will do."""
    found = _WHOLE_KEY.search(_joined(text))
    return found[0] if found else None


def find_locator(text: str) -> str | None:
    """Return the eight public characters of the first key in `text`, though it be cut short."""
    found = _PUBLIC_PART.search(text) or _PUBLIC_PART.search(_joined(text))
    return found[1] if found else None


def _joined(text: str) -> str:
    if not text.isascii():
        # Character by character, without combining marks: normalizing many of those is quadratic.
        text = "".join(
            unicodedata.normalize("NFKC", c) for c in text if not unicodedata.combining(c)
        )
        text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return "".join(text.split())


def redact(text: str) -> str:
    """Return `text` with the secret part of every key replaced; the public locator stays."""
    return _TELLING_PART.sub(r"\1_[redacted]", text) if _may_hold(text) else text


def _may_hold(text: str) -> bool:
    """Spare almost every text the slow pattern: these are how a key can begin."""
    return "rk" in text or "%" in text


def printable(text: str) -> str:
    """Return `text` without control, formatting and blank characters, but for plain spaces."""
    return "".join(c for c in text if unicodedata.category(c)[0] not in "CZ" or c == " ")


def quote_input(value: object, *, limit: int = 40) -> str:
    """Return client input made fit for a message or a log: printable, redacted, cut, in quotes."""
    # In this order: an invisible character inside a key would hide it from the redaction.
    text = redact(printable(str(value)[:1000]))
    return f'"{text[:limit]}…"' if len(text) > limit else f'"{text}"'
