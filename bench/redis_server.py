"""A Redis of the run's own, on a unix socket, for the throttles of the peers."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import Process, running

START_SECONDS: Final = 10


@dataclass(frozen=True)
class RedisServer:
    """A running Redis."""

    process: Process
    address: Path  # Its socket.


@contextmanager
def redis_server(*, wanted: bool) -> Iterator[RedisServer | None]:
    """Start it where it is wanted. It writes nothing to disk: only counts are kept in it."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="reachscore-bench-redis-") as folder:
        address = Path(folder, "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", str(address)]
        command += ["--save", "", "--appendonly", "no", "--dir", folder]
        with running(command, environ={"PATH": os.environ["PATH"]}) as process:
            deadline = time.monotonic() + START_SECONDS
            while not address.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("redis-server does not start.")
                time.sleep(0.02)
            yield RedisServer(process, address)
