"""The product's own statement straight at PostgreSQL, by pgbench: no web tier is in the way.

How often a second can one key of one organization call? All its calls write the same two rows.
"""

import argparse
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from os import environ as shell
from statistics import median
from subprocess import PIPE
from typing import Final

import django

from bench.database import Database
from bench.machine import LOCAL, ROOT, cpu_seconds, say
from bench.report import table
from bench.scratch import scratch
from bench.seed import HOT, SPREAD, USE_PLANS, fill, settle
from reachscore.devdb.cluster import find_programs

SCRIPT: Final = LOCAL / "straight.sql"
# pgbench has numbers only: key n gets a digest that PostgreSQL makes in a microsecond.
GIVEN: Final = {
    "digest_0": "sha256(int8send(:n))",
    "now": "%(now)s::timestamptz",
    "address": "'192.0.2.7'",
}
KNOW: Final = """
    UPDATE apikeys_keysecret SET digest = sha256(int8send(n))
      FROM generate_series(1, %s) n WHERE api_key_id = bench_id('key', n)
"""
KEYS: Final = 100_000
CONNECTIONS: Final = (1, 2, 8, 32)
# Who calls: the numbers of the keys, as bench.seed makes them.
CALLERS: Final = {
    "one key": (SPREAD + 1, SPREAD + 1),
    f"one organization, {HOT:,} keys": (SPREAD + 1, SPREAD + HOT),
    f"1,000 organizations, {SPREAD:,} keys": (1, SPREAD),
}


@dataclass(frozen=True, slots=True)
class Straight:
    """What one run measured."""

    rate: float  # Calls a second.
    database_ms: float  # PostgreSQL's processor time, a call.


def measure(options: argparse.Namespace) -> str:
    """Return the section."""
    database, schema = Database(), "bench_straight"
    runs: dict[tuple[int, str], list[Straight]] = {}
    with scratch(database, schema) as connection:
        django.setup()
        from apikeys.authentication.statement import statement_for  # noqa: PLC0415 - holds models

        fill(connection, keys=KEYS)
        connection.execute(KNOW, [SPREAD + HOT])
        connection.execute(USE_PLANS)
        settle(connection)
        for number in range(options.rounds):
            for connections in CONNECTIONS:
                for name, (first, last) in CALLERS.items():
                    statement = statement_for(1) % GIVEN % {"now": f"'{datetime.now(UTC)}'"}
                    SCRIPT.write_text(f"\\set n random({first}, {last})\n{statement};\n")
                    connection.execute("VACUUM ANALYZE accounts_ratewindow, apikeys_keyday")
                    run = call(database.url(schema), database.pid, connections)
                    runs.setdefault((connections, name), []).append(run)
            say(f"Round {number + 1} of {options.rounds}.")
    rows = [
        (str(connections), *(_told(runs[connections, name]) for name in CALLERS))
        for connections in CONNECTIONS
    ]
    told = f"""The statement of `apikeys/authentication/statement.py`, prepared, by pgbench on the
same machine, on {KEYS:,} keys. Calls a second: the median of {options.rounds} rounds and the
highest. And PostgreSQL's processor time of a call, the lowest."""
    headings = ("connections", *CALLERS)
    return f"## One hot organization, without the web tier\n\n{told}\n\n{table(headings, rows)}"


def _told(runs: list[Straight]) -> str:
    rates = [run.rate for run in runs]
    lowest = min(run.database_ms for run in runs)
    return f"{median(rates):,.0f}, {max(rates):,.0f}; {lowest:.3f} ms"


def call(url: str, pid: int, connections: int) -> Straight:
    """Run SCRIPT for two seconds. Raises RuntimeError for errors.

    `pid` is that of PostgreSQL's first process.
    """
    command = [str(find_programs()[0] / "pgbench"), "--no-vacuum", "--protocol=prepared"]
    command += [f"--client={connections}", f"--jobs={min(connections, 2)}", "--time=2"]
    command += [f"--file={SCRIPT}", url]
    before, environ = cpu_seconds(pid), {"PATH": shell["PATH"]}
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=PIPE, text=True, check=True)
    used = cpu_seconds(pid) - before
    calls, failed, rate = (
        float("".join(re.findall(pattern, done.stdout)[:1]) or "nan")
        for pattern in (r"processed: (\d+)", r"failed transactions: (\d+)", r"tps = ([\d.]+)")
    )
    if failed or not calls:
        raise RuntimeError(done.stdout)
    return Straight(rate, used / calls * 1000)
