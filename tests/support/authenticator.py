"""A passkey authenticator in software, which can also give wrong answers."""

import hashlib
import json
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import bytes_to_base64url

PRESENT, VERIFIED, HOLDS_KEY = 0x01, 0x04, 0x40


class Authenticator:
    """Holds one passkey. Keyword arguments make an answer differ from what was asked."""

    def __init__(self, *, counts: bool = False) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(16)
        self.count = 1 if counts else 0

    def make(self, options: dict[str, Any], **other: Any) -> str:
        """Answer `navigator.credentials.create` as JSON."""
        numbers = self.key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        held = bytes(16) + len(self.id).to_bytes(2) + self.id + cbor2.dumps(public)
        data = self._data(options["rp"]["id"], held, **other)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = _client_data("webauthn.create", options, **other)
        return self._answer(clientDataJSON=client, attestationObject=attestation)

    def show(self, options: dict[str, Any], **other: Any) -> str:
        """Answer `navigator.credentials.get` as JSON."""
        if self.count:
            self.count += 1
        data = self._data(options["rpId"], b"", **other)
        client = _client_data("webauthn.get", options, **other)
        signed = data + hashlib.sha256(client).digest()
        signature = other.get("key", self.key).sign(signed, ec.ECDSA(SHA256()))
        answer = {"clientDataJSON": client, "authenticatorData": data, "signature": signature}
        return self._answer(**answer)

    def _data(
        self, rp_id: str, held: bytes, *, flags: int = PRESENT | VERIFIED, **other: Any
    ) -> bytes:
        flags |= HOLDS_KEY if held else 0
        host = hashlib.sha256(str(other.get("party", rp_id)).encode()).digest()
        count: int = other.get("count", self.count)
        return host + bytes([flags]) + count.to_bytes(4) + held

    def _answer(self, **response: bytes | None) -> str:
        known = {name: bytes_to_base64url(value) for name, value in response.items() if value}
        name = bytes_to_base64url(self.id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": known})


def _client_data(
    kind: str, options: dict[str, Any], *, origin: str = "http://localhost:8000", **other: Any
) -> bytes:
    challenge = other.get("challenge", options["challenge"])
    data = {"type": other.get("ceremony", kind), "challenge": challenge, "origin": origin}
    return json.dumps({**data, "crossOrigin": False}).encode()
