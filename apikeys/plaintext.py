"""A key's plaintext: how it is made, its shape, and its digest under a pepper.

The shape is `rk_live_` or `rk_test_` + locator + `_` + secret + checksum:
eight characters before an underscore, so that no secret scanner takes it for a Stripe key (their
rules want ten or more there); a checksum, so that a typo is seen without asking the database.
"""

import hmac
import re
import zlib
from functools import cache
from typing import Final

from django.conf import settings

from web.ids import base62, random_base62
from web.redaction import KEY_SHAPE

LOCATOR_LENGTH: Final = 8
SECRET_LENGTH: Final = 32  # 190 random bits; OWASP ASVS 5.0 §11.5.1 asks for 128
CHECKSUM_LENGTH: Final = 6

_SHAPE: Final = re.compile(KEY_SHAPE)


def new_plaintext(*, livemode: bool) -> str:
    """Return a new random key. It is stored nowhere."""
    prefix = "rk_live_" if livemode else "rk_test_"
    body = f"{prefix}{random_base62(LOCATOR_LENGTH)}_{random_base62(SECRET_LENGTH)}"
    return body + checksum(body)


def checksum(body: str) -> str:
    """Return the CRC-32 of everything before the checksum, as six base62 digits.

    Unlike GitHub's, it covers the prefix, so that a test key cannot be mistyped into a live one.
    It finds typos; it proves nothing.
    """
    return base62(zlib.crc32(body.encode("ascii")), length=CHECKSUM_LENGTH)


def is_well_formed(text: str) -> bool:
    """Return True if `text` is a key by shape and checksum. Safe for any string of any length."""
    if not _SHAPE.fullmatch(text):
        return False
    return hmac.compare_digest(checksum(text[:-CHECKSUM_LENGTH]), text[-CHECKSUM_LENGTH:])


def locator_of(plaintext: str) -> str:
    """Return the eight public characters that name a well-formed key's secret."""
    return plaintext.split("_")[2]


def digest(plaintext: str, *, pepper: bytes) -> bytes:
    """Return the HMAC-SHA-256 of the whole plaintext, 32 bytes.

    No slow password hash: the secret is random, not chosen (NIST SP 800-63B §5.1.2.2 and OWASP ASVS
    5.0 §6.5.2 ask for one only below 112 bits), and 70,000 requests' worth of HMAC is one argon2.
    """
    begun = _begun(pepper).copy()
    begun.update(plaintext.encode("ascii"))
    return begun.digest()


@cache
def _begun(pepper: bytes) -> hmac.HMAC:
    """Return a cached HMAC object keyed with `pepper`. Copying it saves the key schedule."""
    return hmac.new(pepper, digestmod="sha256")


def signing_pepper_id() -> int:
    """Return the number of the pepper that signs: the first listed."""
    return next(iter(settings.API_KEY_PEPPERS))


def signing_digest(plaintext: str) -> tuple[int, bytes]:
    """Return the number of the signing pepper, and the digest under it."""
    pepper_id = signing_pepper_id()
    return pepper_id, digest(plaintext, pepper=settings.API_KEY_PEPPERS[pepper_id])


def verifying_digests(plaintext: str) -> list[bytes]:
    """Return the digests under which a secret with this plaintext may be stored: one a pepper."""
    return [digest(plaintext, pepper=pepper) for pepper in settings.API_KEY_PEPPERS.values()]
