"""A scanner such as GitHub: signs reports, and publishes its keys behind the proxy for egress."""

import json
import os
import socket
import ssl
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.test import override_settings

from notices.leaks.receiver import ORIGINS
from notices.leaks.signatures import PublicKeys

HOSTS = [keys.host for _, keys in ORIGINS.values()]


def pem_of(key: Any) -> str:
    """Return a public key as GitHub writes it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[no-any-return]


class Scanner:
    """Signs reports with a key of its own."""

    def __init__(self, identifier: str = "k1", curve: ec.EllipticCurve | None = None) -> None:
        self.identifier = identifier
        self.key = ec.generate_private_key(curve or ec.SECP256R1())

    def sign(self, body: bytes, algorithm: HashAlgorithm | None = None) -> str:
        return b64encode(self.key.sign(body, ec.ECDSA(algorithm or SHA256()))).decode()

    @property
    def listed(self) -> dict[str, Any]:
        pem = pem_of(self.key.public_key())
        return {"key_identifier": self.identifier, "key": pem, "is_current": True}


class KeyServer:
    """Answers requests for keys, behind CONNECT, with a certificate for HOSTS."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.respond: Callable[[ssl.SSLSocket, str], None] = self.no_keys
        self.folder = Path(tempfile.mkdtemp("", "reachscore-keys-"))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self._certificate())
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # Wakes the thread that accepts.
        self.listener.close()
        for file in self.folder.iterdir():
            file.unlink()
        self.folder.rmdir()

    def publish(self, *scanners: Scanner) -> None:
        """Answer with these keys, and 304 to a client that has them."""
        body = json.dumps({"public_keys": [scanner.listed for scanner in scanners]}).encode()
        etag = f'"{hash(body):x}"'

        def respond(connection: ssl.SSLSocket, request: str) -> None:
            if f"If-None-Match: {etag}" in request:
                connection.sendall(f"HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n".encode())
            else:
                self.send(connection, 200, body, f"ETag: {etag}")

        self.respond = respond

    @staticmethod
    def send(connection: ssl.SSLSocket, status: int, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)

    def no_keys(self, connection: ssl.SSLSocket, _: str) -> None:
        self.send(connection, 200, b'{"public_keys": []}')

    def _serve(self) -> None:
        with suppress(OSError):  # It was closed.
            while True:
                threading.Thread(target=self._answer, args=self.listener.accept()).start()

    def _answer(self, plain: socket.socket, _: object) -> None:
        with suppress(OSError), plain:
            plain.settimeout(20)
            asked = plain.recv(4096).decode()
            plain.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            with self.context.wrap_socket(plain, server_side=True) as connection:
                request = asked.splitlines()[0] + "\r\n" + connection.recv(4096).decode()
                self.requests.append(request)
                self.respond(connection, request)

    def _certificate(self) -> Path:
        """Make a certificate that is its own authority; return the file with it and its key."""
        key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(names, critical=True)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = self.folder / "certificate.pem"
        file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        return file

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a service that asks here."""
        port = self.listener.getsockname()[1]
        return {
            "EGRESS_PROXY": f"http://127.0.0.1:{port}",
            "SSL_CERT_FILE": str(self.folder / "certificate.pem"),
        }


@contextmanager
def key_server() -> Iterator[KeyServer]:
    """Run a server of keys that this process asks; what it knew is forgotten before and after."""
    server = KeyServer()
    fresh = {
        origin: (word, PublicKeys(keys.host, keys.path)) for origin, (word, keys) in ORIGINS.items()
    }
    at = server.listener.getsockname()
    with (
        override_settings(EGRESS_PROXY=at),
        mock.patch.dict(os.environ, server.variables),
        mock.patch.dict(ORIGINS, fresh),
    ):
        yield server
    server.close()


def drip(connection: ssl.SSLSocket, _: str) -> None:
    """Answer byte by byte: no single wait is long."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _tenth in range(80):
        time.sleep(0.1)
        connection.sendall(b" ")
