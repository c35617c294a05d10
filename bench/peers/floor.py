"""The floor: what Python, granian and PostgreSQL allow. No framework, one prepared statement."""

import os
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from psycopg_pool import ConnectionPool

from bench.peers.answer import FIND, answer_of_row
from reachscore.server import THREADS_A_WORKER

# A connection a thread of the server.
pool = ConnectionPool(
    os.environ["DATABASE_URL"], min_size=THREADS_A_WORKER, kwargs={"autocommit": True}, open=True
)


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer one request."""
    scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    row = None
    if scheme == "Bearer":
        with pool.connection() as connection:
            found = connection.execute(FIND, [sha256(key.encode()).digest()], prepare=True)
            row = found.fetchone()
    status, body = ("200 OK", answer_of_row(row)) if row else ("401 Unauthorized", b"{}")
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]
