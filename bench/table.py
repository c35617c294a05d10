"""What is measured: a row for each variant, and how fast ours is to be."""

import os
from dataclasses import dataclass, replace
from typing import Final

FEW, COMPARED, MANY = "bench_few", "bench_compared", "bench_many"
YEAR, WRITTEN, STEADY = "bench_year", "bench_written", "bench_steady"
# The keys in each schema of ours; the peers' has those of COMPARED.
KEYS: Final = {FEW: 10_000, COMPARED: 100_000, MANY: 1_000_000, YEAR: 10_000, WRITTEN: 10_000}
KEYS[STEADY] = 10_000

# PostgreSQL takes 100 connections: four a worker, of every server of a table at once.
WORKERS: Final = min(len(os.sched_getaffinity(0)), 3)


@dataclass(frozen=True)
class Row:
    """A variant: who answers, with whose keys, on what data."""

    name: str
    app: str = "ours"  # Else a module of bench.peers, and its view there.
    keys: str = "bearer"  # Which requests are sent: one of Stage.files.
    data: str = COMPARED
    workers: int = 1
    is_refused: bool = False
    is_main: bool = False  # Measured unpinned, too.


@dataclass(frozen=True)
class Table:
    """Rows that take turns. The first one is what the others are compared with."""

    title: str
    rows: tuple[Row, ...]
    connections: int = 16
    is_pinned: bool = True


OURS: Final = Row("ours", is_main=True)
BOOK: Final = Row("by-the-book DRF", "by_the_book:Me", is_main=True)
ROWS: Final = (
    OURS,
    Row("ours, forward authentication", keys="forward"),
    Row("ours, unknown key", keys="unknown", is_refused=True),
    Row("ours, malformed key", keys="malformed", is_refused=True),
    Row("ours, by way of Django", keys="round"),
    Row("floor: bare WSGI, one SELECT", "floor", is_main=True),
    Row("floor: bare Django view", "bare_django:me", is_main=True),
    BOOK,
    Row("djangorestframework-api-key", "drf_api_key:Me", "drf_api_key", is_main=True),
    Row("django-rest-knox", "knox_tokens:Me", "knox", is_main=True),
    Row("authtoken", "authtoken:Me", "authtoken"),
    Row("authtoken, joined", "authtoken:JoinedMe", "authtoken", is_main=True),
    Row("django-ninja", "ninja_bearer:api", is_main=True),
    Row("djangorestframework-api-key + limits", "drf_api_key:LimitedMe", "drf_api_key"),
    Row("django-rest-knox + limits", "knox_tokens:LimitedMe", "knox"),
    Row("authtoken, joined + limits", "authtoken:LimitedMe", "authtoken"),
    Row("django-ninja + limits", "ninja_bearer:limited_api", is_main=True),
)
UNPINNED: Final = tuple(replace(row, workers=WORKERS) for row in ROWS if row.is_main)
COMPARISON: Final = (
    Table("Pinned, 16 connections", ROWS),
    Table("Pinned, 4 connections", ROWS, connections=4),
    Table(f"Unpinned, {WORKERS} workers, 16 connections", UNPINNED, is_pinned=False),
)
DATA: Final = (
    Row("10,000 keys", data=FEW),
    Row("1,000,000 keys", data=MANY),
    Row("10,000 keys, a year of use behind them", data=YEAR),
    Row("10,000 keys, one organization has half of all requests", keys="half hot", data=FEW),
)
MORE_WORKERS: Final = tuple(Row(f"workers: {n}", data=FEW, workers=n) for n in (1, 2, 4, 8))
SLOW: Final = (
    replace(BOOK, keys="slow"),
    Row("by-the-book DRF with an argon2 hash", "by_the_book:SlowMe", keys="slow"),
)
GROWTH: Final = (
    Table("More data", DATA),
    Table("More workers", MORE_WORKERS, is_pinned=False),
    Table("A slow hash on the path of a request, 4 connections", SLOW, connections=4),
)
# The first is to answer so many times as many requests a second as the second: at least, and aim.
AIMS: Final[tuple[tuple[str, str, float, float], ...]] = (
    ("ours", "floor: bare WSGI, one SELECT", 0.42, 0.55),
    ("ours", "by-the-book DRF", 3.2, 4),
    ("ours", "djangorestframework-api-key", 5.5, 7),
    ("ours", "django-rest-knox", 5.5, 7),
    ("ours", "django-ninja", 2.9, 3.5),
    *(("ours", row.name, 6, 8) for row in ROWS if row.name.endswith("+ limits")),
    ("ours, malformed key", "by-the-book DRF", 6, 8),
    ("ours, forward authentication", "ours", 0.95, 1),
    ("1,000,000 keys", "10,000 keys", 0.95, 1.0),
)
