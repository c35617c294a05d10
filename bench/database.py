"""The one PostgreSQL of a run, with a schema for each set of data; seeded once and kept."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlencode

import psutil
import psycopg

from bench.machine import LOCAL, ROOT
from reachscore.devdb.cluster import PORT, USER, Cluster

Connection = psycopg.Connection[tuple[Any, ...]]

EXTENSIONS: Final = "bench_extensions"  # What the migrations create is for all schemas.
# A schema that was seeded by other code, or for other tables, is seeded anew.
SOURCES: Final = ("*/migrations/*.py", "bench/seed.py", "bench/dress.py", "bench/peers/models.py")
FILES: Final = [file for pattern in SOURCES for file in sorted(ROOT.glob(pattern))]
SEEDED: Final = sha256(b"".join(file.read_bytes() for file in FILES)).hexdigest()


class Database:
    """PostgreSQL as it comes, fsync on."""

    def __init__(self) -> None:
        """Start it. Ends the program if another run uses it: each gives the keys new secrets."""
        self.cluster = Cluster(LOCAL / "postgres")
        self.cluster.start()
        self._alone = self.connect("public")
        if self._alone.execute("SELECT pg_try_advisory_lock(1)").fetchone() != (True,):
            sys.exit("Another run of the benchmark uses this database.")
        self._alone.execute(f"CREATE SCHEMA IF NOT EXISTS {EXTENSIONS}")
        self._alone.execute(f"CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA {EXTENSIONS}")
        self.version = self._alone.info.parameter_status("server_version") or "unknown"
        self.pid: int = psutil.Process(self._alone.info.backend_pid).ppid()

    def url(self, *schemas: str) -> str:
        """Return what DATABASE_URL is for these schemas; what is made is made in the first."""
        named = {"host": self.cluster.host, "port": PORT, "user": USER, "dbname": USER}
        options = f"-c search_path={','.join([*schemas, EXTENSIONS])}"
        return f"postgres:///?{urlencode({**named, 'options': options}, quote_via=quote)}"

    def connect(self, *schemas: str) -> Connection:
        return psycopg.connect(self.url(*schemas), autocommit=True)

    @contextmanager
    def seeding(self, schema: str, *others: str) -> Iterator[Connection | None]:
        """Yield a connection to fill an empty schema, and mark it seeded; None if it is."""
        query = "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')"
        if self._alone.execute(query, [schema]).fetchone() == (SEEDED,):
            yield None
            return
        self._alone.execute(
            f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}".encode()
        )
        with self.connect(schema, *others) as connection:
            yield connection
            connection.execute("VACUUM ANALYZE")
            connection.execute(f"COMMENT ON SCHEMA {schema} IS '{SEEDED}'".encode())
