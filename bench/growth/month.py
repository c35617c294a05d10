"""A month of daily counts goes: deleted by `forget`, or dropped as a partition."""

import argparse
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from bench.database import Connection, Database
from bench.dress import quickly
from bench.growth.brin import USE, number
from bench.machine import cpu_seconds, say
from bench.report import table
from bench.scratch import manage, scratch
from bench.seed import fill

SIZES: Final = (300_000, 1_200_000)  # Rows of the month that goes.
FURTHER: Final = (3_000_000, 30_000_000, 300_000_000)
BATCH: Final = 10_000  # Of `forget`.
MONTH: Final = timedelta(days=30)
PARTITION: Final = """
    CREATE TABLE parts (LIKE apikeys_keyday, PRIMARY KEY (api_key_id, day),
        FOREIGN KEY (api_key_id) REFERENCES apikeys_apikey) PARTITION BY RANGE (day);
    CREATE TABLE part (LIKE apikeys_keyday INCLUDING ALL);
    INSERT INTO part SELECT * FROM apikeys_keyday WHERE day < 'OLDEST';
    ALTER TABLE parts ATTACH PARTITION part FOR VALUES FROM (MINVALUE) TO ('OLDEST');
    CHECKPOINT
"""
FIND_DUE: Final = "SELECT count(*) FROM apikeys_keyday WHERE day < %s"
TIMES: Final = 20
WAL: Final = "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8"


def measure(_: argparse.Namespace) -> str:
    """Return the section."""
    database, rows = Database(), []
    for due in SIZES:
        with scratch(database, "bench_month") as connection:
            say(f"A month of {due:,} rows.")
            used, passing, *figures = _forget_and_drop(database, connection, due=due)
            rows.append((f"{due:,}", f"{used:.1f}", *figures))
    # Each batch passes by what those before it deleted: half of all, on average.
    each = used / due - passing * due / BATCH / 2
    for more in FURTHER:
        seconds = each * more + passing * more * more / BATCH / 2
        rows.append((f"{more:,}", f"up to {seconds:,.0f}, extrapolated", "", "", "", ""))
    told = f"""A month of daily counts is due, two more are kept. Each batch of {BATCH:,} passes by
the rows that those before it deleted, {passing * 1e9:.0f} ns each, until vacuum has been there."""
    headings: tuple[str, ...] = ("rows due", "`forget`: PostgreSQL's processor s", "s", "WAL MB")
    headings += ("VACUUM after it s", "`DROP TABLE` s")
    return f"## A month of counts goes\n\n{told}\n\n{table(headings, rows)}"


def _forget_and_drop(database: Database, connection: Connection, *, due: int) -> Any:
    """Return what it takes to delete the month, and to drop a partition that has its rows."""
    now = datetime.now(UTC)
    months = now.year * 12 + now.month - 1 - 13
    oldest = date(months // 12, months % 12 + 1, 1)
    keys = due // MONTH.days
    with quickly(connection):
        fill(connection, keys=keys)
        connection.execute("SET session_replication_role = replica")  # Checks no foreign key.
        connection.execute(USE, [oldest - MONTH, oldest + 2 * MONTH, keys])
        connection.execute("VACUUM ANALYZE apikeys_keyday")
    connection.execute(PARTITION.replace("OLDEST", str(oldest)).encode())
    wal, used = number(connection, WAL), cpu_seconds(database.pid)
    took, said = _timed(lambda: manage("forget"))
    if f"{keys * MONTH.days} key days" not in said:
        raise RuntimeError(said)
    wal, used = number(connection, WAL) - wal, cpu_seconds(database.pid) - used
    passing = cpu_seconds(database.pid)
    for _ in range(TIMES):  # It finds none, because all that are due are deleted.
        number(connection, FIND_DUE, oldest)
    passing = (cpu_seconds(database.pid) - passing) / TIMES / due
    vacuumed, _ = _timed(lambda: connection.execute("VACUUM apikeys_keyday"))
    dropped, _ = _timed(lambda: connection.execute("DROP TABLE part"))
    return used, passing, f"{took:.1f}", f"{wal / 2**20:,.0f}", f"{vacuumed:.1f}", f"{dropped:.3f}"


def _timed(call: Any) -> tuple[float, Any]:
    began = time.monotonic()
    said = call()
    return time.monotonic() - began, said
