"""Put load on servers: one run of wrk, and variants that take turns."""

import json
import random
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

from bench.machine import ROOT, apart, cpu_seconds, say
from bench.seed import settle
from bench.stage import PATH, Server, Stage
from bench.table import Row, Table


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of some seconds measured."""

    cpu_ms: float  # Of the server's own processes, a request.
    database_ms: float  # The same of PostgreSQL's.
    requests: int
    rate: float  # Requests a second.
    p50_ms: float
    p99_ms: float
    refused: int  # Answered from 400 on.
    broken: int  # Not answered.


Rounds = Sequence[Mapping[str, Run]]  # For each round, the run of every row.


def put_load(
    server: Server,
    file: Path,
    *,
    database: int,
    seconds: int,
    connections: int = 16,
    is_refused: bool | None = False,
) -> Run:
    """Send a file's requests as fast as they are answered, over kept connections.

    `database` is the pid of PostgreSQL's first process.
    Reads at random; writes in order, each once. Raises RuntimeError if not all of them were
    answered, or refused, as they should be; None for `is_refused` takes both.
    """
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
    command += ["--latency", "--timeout=20s", "--script=bench/requests.lua"]
    url, seed = f"http://127.0.0.1:{server.port}{PATH}", random.randrange(2**31)
    command += [url, "--", str(file), str(seed)]
    pids = (server.pid, database)
    before = [cpu_seconds(pid) for pid in pids]
    done = subprocess.run(command, cwd=ROOT, stdout=PIPE, timeout=seconds + 60, check=True)
    used = [cpu_seconds(pid) - at_first for pid, at_first in zip(pids, before, strict=True)]
    told = json.loads(done.stdout.splitlines()[-1])
    run = Run(*(one / max(told["requests"], 1) * 1000 for one in used), **told)
    refused = run.refused if is_refused is None else run.requests * is_refused
    if run.broken or not run.requests or run.refused != refused:
        raise RuntimeError(f"{file.name}: {run}. {server.last_words()}")
    return run


def measure(stage: Stage, table: Table, *, rounds: int, seconds: int) -> Rounds:
    """Measure every row once a round, in an order that is shuffled anew, after a warm-up."""
    say(f"{table.title}: starting the servers.")
    done = []
    with stage.serving(table.rows) as servers:
        check_answers(stage, table.rows, servers)
        pids = {one.pid for one in servers.values()}
        with apart(pids, database=stage.database.pid) if table.is_pinned else nullcontext():
            for number in range(rounds + 1):
                runs = {}
                for row in random.sample(table.rows, len(table.rows)):
                    if row.app == "ours" and not row.is_refused:
                        with stage.database.connect(row.data) as connection:
                            settle(connection)
                    runs[row.name] = put_load(
                        servers[row.name],
                        stage.files[row.keys],
                        database=stage.database.pid,
                        connections=table.connections,
                        seconds=seconds if number else 1,
                        is_refused=row.is_refused,
                    )
                done.append(runs)
                say(f"{table.title}: round {number} of {rounds}" if number else "Warmed up.")
    return done[1:]


def check_answers(stage: Stage, rows: Iterable[Row], servers: Mapping[str, Server]) -> None:
    """Hold the body of each row that asks the same, for the first key in use, to the first row's.

    Raises RuntimeError if a row answers something else, or does not refuse what it should.
    """
    reference = b""
    for row in rows:
        first, _, _ = stage.files[row.keys].read_text().partition("\n")
        _, path, authorization, _ = first.split("\t")
        status, body = servers[row.name].ask(authorization, path)
        reference = reference or body
        is_same = row.is_refused or path != PATH or json.loads(body) == json.loads(reference)
        if status != (401 if row.is_refused else 200) or not is_same:
            told = f"{row.name} answers {status} {body!r}, the first row {reference!r}. "
            raise RuntimeError(told + servers[row.name].last_words())
