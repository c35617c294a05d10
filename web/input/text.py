"""Validation and normalization of text that people type and other people read."""

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Final

from django.core.exceptions import ValidationError

from web.errors.catalogue import CATALOGUE
from web.errors.refusals import ContainsApiKey, ParameterInvalid
from web.redaction import holds_key

# Letters by their Unicode category, but invisible.
_FILLERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
REPLACEMENT: Final = "\ufffd"  # Decoders put it in place of bytes that they cannot decode.
MOST_IN_ONE: Final = 4  # Characters that NFC composes into one, for example U+1F82.
_UNPRINTABLE: Final = ("Cc", "Cs", "Zl", "Zp")
# They change the reading direction, so that one name can be made to look like another.
_BIDI_CONTROLS: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def clean_line(text: str, *, field: str, max_length: int, required: bool = True) -> str:
    """Return one line of visible text in NFC, trimmed, of at most `max_length` characters.

    Raises:
        ParameterInvalid: it has control characters, or is blank or too long.
        ContainsApiKey: it holds an API key.
    """
    line = composed(text.strip(), max_length=max_length)
    if any(_is_unfit(c) for c in line):
        raise ParameterInvalid(f"{field} must not hold control characters.", field=field)
    if REPLACEMENT in line:
        message = f"{field} holds U+FFFD: some of its characters were lost by a wrong decoding."
        raise ParameterInvalid(message, field=field)
    if required and not any(_is_visible(c) for c in line):
        raise ParameterInvalid(f"{field} must hold at least one visible character.", field=field)
    if len(line) > max_length:
        raise ParameterInvalid(f"{field} must have at most {max_length} characters.", field=field)
    if holds_key(line):
        raise ContainsApiKey(f"{field} holds an API key.", field=field)
    return line


def clean_reason(reason: str, *, required: bool = True) -> str:
    """Return a reason for an audit event, cleaned. Raise what `clean_line` raises."""
    return clean_line(reason, field="reason", max_length=200, required=required)


def composed(text: str, *, max_length: int) -> str:
    """Return `text` in NFC, the form in which texts are stored and searched.

    A text that would be longer than `max_length` in NFC, too, is returned unchanged: normalizing
    many combining marks takes quadratic time.
    """
    is_short = len(text) <= max_length * MOST_IN_ONE
    return unicodedata.normalize("NFC", text) if is_short else text


def refuse_key(text: str) -> None:
    """Raise ValidationError if `text` holds a key: for Django's own models, which have no verb."""
    if holds_key(text):
        raise ValidationError(CATALOGUE[ContainsApiKey.code].message, ContainsApiKey.code)


def _is_unfit(character: str) -> bool:
    last_two_of_plane = ord(character) & 0xFFFE
    is_noncharacter = last_two_of_plane == 0xFFFE or "\ufdd0" <= character <= "\ufdef"  # noqa: PLR2004
    is_unprintable = unicodedata.category(character) in _UNPRINTABLE
    return is_unprintable or is_noncharacter or character in _BIDI_CONTROLS


def _is_visible(character: str) -> bool:
    return character.isprintable() and not character.isspace() and character not in _FILLERS


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return “ Did you mean …?” with the known word closest to `value`, or ""."""
    close = difflib.get_close_matches(value[:100].lower(), list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
