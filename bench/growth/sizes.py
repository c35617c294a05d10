"""Bytes of tables and indexes with a million and ten million keys, and what follows for more."""

import argparse
import subprocess
import sys
from typing import Final

from bench.database import Connection, Database
from bench.growth.brin import number
from bench.machine import ROOT
from bench.report import table
from bench.scratch import scratch
from bench.seed import fill

TABLES: Final = ("apikeys_apikey", "apikeys_keysecret", "apikeys_scopegrant")
SMALL, LARGE, TARGET = 1_000_000, 10_000_000, 100_000_000
GROWN: Final = 200_000
LOOK: Final = """
    SELECT c.relname, pg_relation_size(c.oid)
      FROM pg_class c LEFT JOIN pg_index ON indexrelid = c.oid
     WHERE c.relkind IN ('r', 'i') AND c.relnamespace = current_schema::regnamespace
       AND COALESCE(indrelid, c.oid) = %s::regclass
     ORDER BY c.relkind DESC, 2 DESC
"""


def measure(_: argparse.Namespace) -> str:
    """Return the sections: sizes, and pages of the admin, which seed the two sets of keys."""
    pages = {}
    for keys in (SMALL, LARGE):
        command = [sys.executable, "-m", "bench.pages", str(keys)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        pages[keys] = done.stdout
    database, rows = Database(), []
    with (
        database.connect(f"bench_pages_{SMALL}") as small,
        database.connect(f"bench_pages_{LARGE}") as large,
    ):
        for name in TABLES:
            rows += _compared(small, large, name)
    told = f"""Of indexes that were just built. Those of {GROWN:,} keys that were made one by one,
in no order, take {_grown(database):.2f} times as much. 100 million: ten times the larger run."""
    headings = ("", "bytes a key, 1 million", "10 million", "GB with 10 million", "100 million")
    sizes = f"## Sizes\n\n{told}\n\n{table(headings, rows)}"
    return f"{sizes}\n\n{pages[LARGE].replace('# Pages', '## The admin with 10 million keys')}"


def _grown(database: Database) -> float:
    """Return how much larger indexes are that have grown row by row."""
    sums = "SELECT sum(pg_indexes_size(name)) FROM unnest(%s::regclass[]) AS name"
    tables = list(TABLES[:2])
    with scratch(database, "bench_grown") as connection:
        fill(connection, keys=GROWN)
        grown = number(connection, sums, tables)
        for name in tables:
            connection.execute(f"REINDEX TABLE {name}".encode())
        return float(grown / number(connection, sums, tables))


def _compared(small: Connection, large: Connection, name: str) -> list[tuple[str, ...]]:
    before: dict[str, int] = dict(small.execute(LOOK, [name]).fetchall())
    rows = []
    for part, size in large.execute(LOOK, [name]).fetchall():
        figures = (before[part] / SMALL, size / LARGE)
        gigabytes = f"{size / 1e9:.2f}", f"{size / LARGE * TARGET / 1e9:.1f}"
        rows.append((part, *(f"{one:.0f}" for one in figures), *gigabytes))
    return rows
