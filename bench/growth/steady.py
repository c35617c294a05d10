"""Many minutes at full speed: what becomes of the tables, also while a snapshot is held open."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

from bench.database import Connection
from bench.load import Run, put_load
from bench.machine import say
from bench.report import table
from bench.seed import settle
from bench.stage import Server, Stage
from bench.table import STEADY, WORKERS, Row

ROW: Final = Row("ours, at full speed", keys="half hot", data=STEADY, workers=WORKERS)
TABLES: Final = ("accounts_ratewindow", "apikeys_keyday", "apikeys_keysecret")
LOOK: Final = """
    SELECT relname, pg_relation_size(relid), pg_indexes_size(relid), n_dead_tup, n_tup_upd,
           n_tup_hot_upd
      FROM pg_stat_user_tables WHERE schemaname = current_schema AND relname = ANY (%s)
"""
WAL: Final = "SELECT pg_current_wal_insert_lsn() - '0/0'"
METRIC: Final = "reachscore_oldest_snapshot_transactions"
SLICES: Final = 10

Sample = dict[str, str]


def measure(options: argparse.Namespace) -> str:
    """Return the section. Half of the calls are one organization's."""
    with Stage.open() as stage:
        stage.prepare([ROW])
        with stage.serving([ROW]) as servers:
            halves = [
                list(_run(stage, servers[ROW.name], seconds=options.seconds, is_held=is_held))
                for is_held in (False, True)
            ]
    columns = [sample for half in halves for sample in (half[0], half[-1])]
    headings = ("", "first", "last", "with a snapshot: first", "last")
    rows = [(name, *(one[name] for one in columns)) for name in columns[0]]
    told = f"""{options.seconds} seconds of `auth/me` through {WORKERS} workers and 16
connections, half of it one organization's; then as many while another connection keeps a snapshot
open (REPEATABLE READ, idle in transaction). A column is a tenth: its speed, and the state then."""
    return f"## At full speed\n\n{told}\n\n{table(headings, rows)}"


def _run(stage: Stage, server: Server, *, seconds: int, is_held: bool) -> Iterator[Sample]:
    """Yield what each tenth of the time shows, on tables that were just rewritten."""
    with stage.database.connect(STEADY) as connection, ExitStack() as stack:
        settle(connection)
        for name in TABLES:
            connection.execute(f"VACUUM (FULL, ANALYZE) {name}".encode())
        if is_held:
            holder = stack.enter_context(stage.database.connect(STEADY))
            holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT count(*) FROM apikeys_keyday")
        for number in range(1, SLICES + 1):
            before = _look(connection)
            run = put_load(
                server,
                stage.files[ROW.keys],
                database=stage.database.pid,
                seconds=round(seconds / SLICES),
                is_refused=None,
            )
            say(f"Snapshot held: {is_held}; {number} of {SLICES}: {run.rate:,.0f} a second.")
            yield _sample(run, before, _look(connection)) | {METRIC: _metric(stage, server)}


def _look(connection: Connection) -> dict[str, Any]:
    """Return the figures of each table, and the position in the WAL."""
    [[wal]] = connection.execute(WAL).fetchall()
    rows = connection.execute(LOOK, [list(TABLES)]).fetchall()
    return {"wal": wal, **{name: figures for name, *figures in rows}}


def _sample(run: Run, before: dict[str, Any], after: dict[str, Any]) -> Sample:
    sample = {
        "calls a second": f"{run.rate:,.0f}",
        "refused": f"{run.refused:,}",
        "p50, p99 ms": f"{run.p50_ms:.1f}, {run.p99_ms:.1f}",
        "processor ms a call: web, PostgreSQL": f"{run.cpu_ms:.2f}, {run.database_ms:.2f}",
        "WAL bytes a call": f"{(after['wal'] - before['wal']) / run.requests:,.0f}",
    }
    for name in TABLES:
        heap, indexes, dead, updates, hot = after[name]
        updated, in_place = updates - before[name][3], hot - before[name][4]
        sample |= {
            f"{name}: table, indexes kB": f"{heap / 1024:,.0f}, {indexes / 1024:,.0f}",
            f"{name}: dead rows": f"{dead:,}",
            f"{name}: HOT share": f"{in_place / max(updated, 1):.1%}",
        }
    return sample


def _metric(stage: Stage, server: Server) -> str:
    """Return how old /metrics shows the oldest snapshot; /readyz looks at it."""
    server.ask("", "/readyz")
    _, page = server.ask(f"Bearer {stage.environ['METRICS_TOKEN']}", "/metrics")
    [line] = [line for line in page.decode().splitlines() if line.startswith(METRIC)]
    return f"{float(line.split()[1]):,.0f}"
