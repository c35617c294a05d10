"""Public keys of services that report leaked keys, and their signatures: ECDSA, P-256, SHA-256."""

import json
import logging
import math
import ssl
import time
from base64 import b64decode
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from threading import Thread
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings

from web.errors.refusals import OfCatalogue, TemporarilyUnavailable

logger = logging.getLogger("reachscore.leaks")

FETCH_SECONDS: Final = 5.0
MOST_KEYS_BYTES: Final = 2**18  # GitHub sends 1 kB.
SECONDS_BETWEEN_FETCHES: Final = 60.0  # Else unknown ids would use up GitHub's rate limit.
FRESH_SECONDS: Final = 3600.0
# A rate limit or an outage must not stop reports at once. Believing a withdrawn key for a day does
# no harm: a forged report revokes only keys that the forger holds.
BELIEVED_SECONDS: Final = 24 * 3600.0
# What a server that is away, or sends no keys, raises.
FAULTS: Final = (OSError, HTTPException, ValueError, TypeError, LookupError, RecursionError)


class PublicKeys:
    """The public keys of one service, cached in this process. For one thread at a time."""

    def __init__(self, host: str, path: str) -> None:
        self.host, self.path = host, path
        self.etag = ""
        self.keys: dict[str, EllipticCurvePublicKey] = {}
        self.fetched_at = self.tried_at = -math.inf

    def find(self, identifier: str) -> EllipticCurvePublicKey:
        """Return the key of this id. Fetch all, at most once a minute, if it is unknown or old.

        Raises:
            TemporarilyUnavailable: if they cannot be fetched, so nothing can be believed.
            OfCatalogue: signature_invalid, if the service has no such key.
        """
        now = time.monotonic()
        is_wanted = identifier not in self.keys or now > self.fetched_at + FRESH_SECONDS
        if is_wanted and now > self.tried_at + SECONDS_BETWEEN_FETCHES:
            self.tried_at = now
            # In its own thread: a socket's time-out bounds neither the look-up of the name nor an
            # answer that comes byte by byte.
            thread = Thread(target=self._renew, args=(now,), daemon=True)
            thread.start()
            thread.join(FETCH_SECONDS)
        if now < self.fetched_at + BELIEVED_SECONDS:
            if identifier in self.keys:
                return self.keys[identifier]
            if self.fetched_at == self.tried_at:
                raise signature_invalid()
        raise TemporarilyUnavailable(f"The public keys of {self.host} cannot be fetched.")

    def _renew(self, now: float) -> None:
        """Fetch the keys. Keep those that were there before if that fails."""
        try:
            self._fetch()
            self.fetched_at = now
        except FAULTS as error:
            kind = type(error).__name__
            logger.warning("The public keys of %s cannot be fetched: %s", self.host, kind)

    def _fetch(self) -> None:
        host, port = settings.EGRESS_PROXY or (self.host, 443)
        connection = HTTPSConnection(
            host, port, timeout=FETCH_SECONDS, context=ssl.create_default_context()
        )
        with closing(connection):
            if settings.EGRESS_PROXY:
                connection.set_tunnel(self.host, 443)
            headers = {"User-Agent": "ReachScore", "Accept": "application/json"}
            headers |= {"If-None-Match": self.etag} if self.etag else {}
            connection.request("GET", self.path, headers=headers)
            response = connection.getresponse()
            if response.status == HTTPStatus.NOT_MODIFIED and self.etag:
                return
            body = response.read(MOST_KEYS_BYTES + 1)
            if response.status != HTTPStatus.OK or len(body) > MOST_KEYS_BYTES:
                raise ValueError(response.status)
            self.keys = _parse(body)
            self.etag = response.getheader("ETag") or ""


def _parse(body: bytes) -> dict[str, EllipticCurvePublicKey]:
    """Return the keys on P-256 by their ids. Raise one of FAULTS if there are none."""
    keys = {}
    for row in json.loads(body)["public_keys"]:
        with suppress(ValueError, UnsupportedAlgorithm):
            key = load_pem_public_key(str(row["key"]).encode())
            if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1":
                keys[row["key_identifier"]] = key
    if not keys:
        raise ValueError("no keys")
    return keys


def require_signed(key: EllipticCurvePublicKey, signature: str, body: bytes) -> None:
    """Raise `signature_invalid` unless `signature`, base64 of DER, is this key's over `body`."""
    try:
        key.verify(b64decode(signature, validate=True), body, ECDSA(SHA256()))
    except (ValueError, InvalidSignature):
        raise signature_invalid() from None


def signature_invalid() -> OfCatalogue:
    """Return the refusal. RFC 9110 §15.5.2 asks for a challenge on every 401."""
    challenge = {"WWW-Authenticate": 'Signature realm="leak reports"'}
    return OfCatalogue("signature_invalid", headers=challenge)
