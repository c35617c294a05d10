"""Calls a WSGI application as granian does, in this very process: for profiles."""

import io
import random
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.load import PATH

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

ENVIRON: Final = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": PATH,
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "granian",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "127.0.0.1",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_FOR": "192.0.2.7",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.errors": sys.stderr,
}


class Caller:
    """Sends requests with random keys of a file of requests."""

    def __init__(self, application: Application, file: Path) -> None:
        self.application = application
        self.keys = [line.split("\t")[2] for line in file.read_text().splitlines()]

    def call(self, times: int) -> None:
        """Raises RuntimeError for an answer that is not 200."""
        for _ in range(times):
            told: list[str] = []
            environ = {
                **ENVIRON,
                "HTTP_AUTHORIZATION": random.choice(self.keys),
                "wsgi.input": io.BytesIO(),
            }
            answer = self.application(environ, partial(_note, told))
            b"".join(answer)
            close = getattr(answer, "close", None)
            if close is not None:
                close()
            if told != ["200 OK"]:
                raise RuntimeError(f"Answered {told}.")


def _note(told: list[str], status: str, _headers: object) -> None:
    """WSGI's start_response."""
    told.append(status)
