"""Variants take turns, in an order that is shuffled anew each round."""

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.load import Run, put_load
from bench.machine import say
from bench.processes import pin
from bench.servers import Server

ALL_CORES: Final = frozenset(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Contender:
    """A variant that is ready to run."""

    name: str
    server: Server
    file: Path  # Its requests.
    is_refused: bool = False
    before: Callable[[], None] | None = None  # What puts the data in order before each turn.

    def run(self, *, connections: int, seconds: int) -> Run:
        """Measure it once. Raises RuntimeError where an answer is not what it should be."""
        if self.before is not None:
            self.before()
        run = put_load(
            self.server.url,
            self.file,
            server=self.server.process.pid,
            connections=connections,
            seconds=seconds,
        )
        expected = run.requests if self.is_refused else 0
        if run.broken or run.refused != expected or not run.requests:
            raise RuntimeError(f"{self.name}: {run}, but {expected} should have been refused.")
        return run


def take_turns(
    contenders: list[Contender], *, connections: int, seconds: int, rounds: int
) -> list[dict[str, Run]]:
    """Measure every contender once a round."""
    done = []
    for number in range(1, rounds + 1):
        random.shuffle(contenders)
        done.append(
            {one.name: one.run(connections=connections, seconds=seconds) for one in contenders}
        )
        say(f"{connections} connections: round {number} of {rounds}")
    return done


def cores() -> tuple[set[int], set[int]]:
    """Return the core of the server under test, and that of everything else."""
    usable = sorted(ALL_CORES)
    return {usable[0]}, {usable[min(1, len(usable) - 1)]}


def separate(servers: Iterable[Server], others: Iterable[int]) -> None:
    """Give the servers one core, and the others, this program and its wrk the next one."""
    server_core, other_core = cores()
    for pid in (os.getpid(), *others):
        pin(pid, other_core)
    for server in servers:  # Last: they descend from this program.
        pin(server.process.pid, server_core)


def unite(others: Iterable[int]) -> None:
    """Let everything run where the kernel likes."""
    for pid in (os.getpid(), *others):
        pin(pid, ALL_CORES)
