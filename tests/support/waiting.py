"""Waits that end as soon as what they wait for is there, so that a generous end costs nothing."""

import socket
import time
from collections.abc import Callable


def until(promise: Callable[[], object], *, seconds: float = 120, every: float = 0.05) -> None:
    """Return once `promise()` is true. Raise AssertionError if it is not in this time."""
    deadline = time.monotonic() + seconds
    while not promise():
        assert time.monotonic() < deadline, promise
        time.sleep(every)


def answers(port: int) -> bool:
    """Return True if something listens on this port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
