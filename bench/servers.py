"""Servers under test: each granian as in production, in production's environment."""

import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.load import PATH
from bench.processes import Process, free_ports, running
from reachscore.server import server_command

START_SECONDS: Final = 60
# What a proxy in front of production adds. Every variant gets it.
PROXIED: Final = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
PEERS: Final = "bench.peers.wsgi:application"


@dataclass(frozen=True)
class Application:
    """What a server serves: a WSGI application, and the environment it reads."""

    name: str
    target: str = PEERS
    environ: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    def ask(self, authorization: str) -> tuple[int, bytes]:
        """Return status and body of one request."""
        request = urllib.request.Request(
            self.url, headers={**PROXIED, "Authorization": authorization}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()


def production_environ() -> dict[str, str]:
    """Return a deployment's environment less its database, with secrets of this run alone."""
    return {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": secrets.token_urlsafe(48),
        "API_KEY_PEPPERS": f"1:{secrets.token_urlsafe(32)}",
        "AUDIT_KEYS": f"1:{secrets.token_urlsafe(32)}",
        "METRICS_TOKEN": secrets.token_urlsafe(32),
        "ALLOWED_HOSTS": "127.0.0.1",
        "TRUSTED_PROXY_COUNT": "1",
    }


@contextmanager
def serving(application: Application, *, workers: int, log: Path) -> Iterator[Server]:
    """Start a server with production's own command line but for what it serves."""
    (port,) = free_ports(1)
    command = server_command(host="127.0.0.1", port=port, workers=workers)
    command[-1] = application.target
    with (
        log.open("wb") as output,
        running(command, environ=application.environ, output=output) as process,
    ):
        yield Server(process, port)


def wait_until_answering(server: Server, authorization: str) -> bytes:
    """Return the body of the first 200. Raises RuntimeError where none comes."""
    deadline = time.monotonic() + START_SECONDS
    last = "nothing"
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            status, body = server.ask(authorization)
        except OSError as error:
            last = str(error)
        else:
            if status == 200:
                return body
            last = f"{status} {body[:300]!r}"
        time.sleep(0.1)
    raise RuntimeError(f"A server does not answer: {last}")
