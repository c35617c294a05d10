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
_WHOLE_KEY: Final = re.compile(f"{_NAMED}{_encoded('_')}{_BASE62}{{38}}")
# Broader than a whole key: one cut short by a few characters could still be completed by guessing.
_TELLING_PART: Final = re.compile(f"({_NAMED}){_encoded('_')}{_BASE62}{{6,}}")


def holds_key(text: str) -> bool:
    """Tell whether a whole key stands anywhere in `text`; its checksum is not looked at."""
    return _may_hold(text) and _WHOLE_KEY.search(text) is not None


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
