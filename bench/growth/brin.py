"""What the BRIN index of days becomes as months are deleted, and new days fill their pages."""

import argparse
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

from bench.database import Connection, Database
from bench.dress import quickly
from bench.machine import say
from bench.report import table
from bench.scratch import scratch
from bench.seed import fill

# In small: each "month" has five days, and two of them are kept.
LIVE_KEYS: Final = 50_000
SPAN: Final = timedelta(days=5)
KEPT: Final = 2 * SPAN
# Each key calls on each of these days, in no order of keys.
USE: Final = """
    INSERT INTO apikeys_keyday (api_key_id, day, requests, limited)
    SELECT bench_id('key', n), day::date, 1, 0
      FROM generate_series(%s::date, %s::date - 1, '1 day') day, generate_series(1, %s) n
     ORDER BY day, hashint8(n)
        ON CONFLICT (api_key_id, day) DO UPDATE SET requests = apikeys_keyday.requests + 1
"""
SIZE: Final = "SELECT pg_relation_size('apikeys_keyday') / 8192"
TRUE_PAGES: Final = """
    SELECT count(DISTINCT (ctid::text::point)[0]) FROM apikeys_keyday WHERE day = %s
"""


def measure(_: argparse.Namespace) -> str:
    """Return the section."""
    database = Database()
    with scratch(database, "bench_brin") as connection, quickly(connection, bare=()):
        return _live(connection)


def _live(connection: Connection) -> str:
    """Return the section of the BRIN index: months are deleted, and new days fill their pages."""
    today = date(2026, 1, 1)
    fill(connection, keys=LIVE_KEYS)
    connection.execute("SET session_replication_role = replica")
    connection.execute(USE, [today - KEPT, today, LIVE_KEYS])
    rows = [("at first", *_pages(connection, today))]
    for month in range(1, 5):
        connection.execute("DELETE FROM apikeys_keyday WHERE day < %s", [today - KEPT + SPAN])
        for _ in range(SPAN.days):
            connection.execute("VACUUM apikeys_keyday")
            for _ in range(2):
                connection.execute(USE, [today, today + timedelta(days=1), LIVE_KEYS])
            today += timedelta(days=1)
        say(f"Lived for {month} months.")
        rows.append((f"after month {month}", *_pages(connection, today)))
    connection.execute("REINDEX INDEX CONCURRENTLY key_day_by_day")
    rows.append(("after `REINDEX INDEX CONCURRENTLY key_day_by_day`", *_pages(connection, today)))
    told = f"""In small: {LIVE_KEYS:,} keys are used twice a day, a month has {SPAN.days} days, and
two are kept. After each, the oldest is deleted and vacuumed, and new days fill its pages. `forget`
finds nothing due."""
    headings: tuple[str, ...] = ("", "pages of the table", "of yesterday", "read to sum yesterday")
    headings += ("read by `forget`", "by the BRIN index it would be")
    return f"## The BRIN index of days\n\n{told}\n\n{table(headings, rows)}"


def _pages(connection: Connection, today: date) -> Iterator[str]:
    """Yield how many pages there are, how many have yesterday's rows, and how many are read."""
    connection.execute("VACUUM ANALYZE apikeys_keyday")
    yesterday = today - timedelta(days=1)
    yield f"{number(connection, SIZE):,}"
    yield f"{number(connection, TRUE_PAGES, yesterday):,}"
    yield _read(connection, f"sum(requests) FROM apikeys_keyday WHERE day = '{yesterday}'")
    due = f"api_key_id, day FROM apikeys_keyday WHERE day < '{today - KEPT}' LIMIT 10000"
    yield _read(connection, f"{due} FOR UPDATE SKIP LOCKED")
    connection.execute("SET enable_seqscan = off; SET enable_indexscan = off")
    yield _read(connection, due)
    connection.execute("RESET enable_seqscan; RESET enable_indexscan")


def _read(connection: Connection, query: str) -> str:
    """Return how many pages this SELECT reads, and by which scan."""
    [found] = number(connection, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT {query}")
    node = plan = found["Plan"]
    while "Relation Name" not in node:
        [node] = node["Plans"]
    return f"{plan['Shared Hit Blocks'] + plan['Shared Read Blocks']:,} ({node['Node Type']})"


def number(connection: Connection, query: str, *parameters: Any) -> Any:
    """Return the one value of a query."""
    [[value]] = connection.execute(query.encode(), parameters or None).fetchall()
    return value
