"""The one PostgreSQL of a run, with a schema for each set of data; seeded once and kept."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bench.machine import LOCAL
from bench.processes import parent_of, tree
from reachscore.devdb.cluster import PORT, USER, Cluster

Connection = psycopg.Connection[tuple[Any, ...]]

LOCK: Final = 7_204_461  # Any number that no other advisory lock has.
EXTENSIONS: Final = "bench_extensions"  # What the migrations create is for all schemas.
HOME_OF_EXTENSION: Final = """
    SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_trgm'
"""
SEEDED: Final = "Seeded by the benchmark, version 1; nothing here is of any worth."


class Database:
    """PostgreSQL as it comes, fsync on: one of its own, or the one that DATABASE_URL names.

    Works in schemas of its own alone, whatever else the database holds.
    """

    def __init__(self) -> None:
        given = os.environ.get("DATABASE_URL")
        self.is_ours = not given
        self.parameters: dict[str, Any] = conninfo_to_dict(given) if given else self._embedded()

    def _embedded(self) -> dict[str, Any]:
        cluster = Cluster(LOCAL / "postgres")
        cluster.start()
        return {"host": cluster.host, "port": PORT, "user": USER, "dbname": "reachscore"}

    def url(self, schema: str) -> str:
        """Return what DATABASE_URL is for this schema."""
        options = (
            f"{self.parameters.get('options') or ''} -c search_path={schema},{EXTENSIONS}".strip()
        )
        parameters = {**self.parameters, "options": options}
        return f"postgres:///?{urlencode(parameters, quote_via=quote)}"

    def connect(self, schema: str) -> Connection:
        return psycopg.connect(self.url(schema), autocommit=True)

    @property
    def version(self) -> str:
        with self.connect("public") as connection:
            return str(connection.execute("SHOW server_version").fetchall()[0][0])

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second run away: each gives the keys in use new secrets. Ends the program."""
        with self.connect("public") as connection:
            found = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
            if found != (True,):
                sys.exit("Another run of the benchmark uses this database.")
            yield

    def is_seeded(self, schema: str) -> bool:
        query = "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')"
        with self.connect("public") as connection:
            return connection.execute(query, [schema]).fetchone() == (SEEDED,)

    def begin(self, schema: str) -> None:
        """Make an empty schema, in place of what an interrupted seeding left."""
        name = sql.Identifier(schema)
        with self.connect("public") as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {EXTENSIONS}")
            connection.execute(f"CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA {EXTENSIONS}")
            if connection.execute(HOME_OF_EXTENSION).fetchone() != (EXTENSIONS,):
                sys.exit("This database has pg_trgm already: name one that is the benchmark's own.")

    def finish(self, schema: str) -> None:
        """Mark a schema as seeded, and let the planner know what is in it."""
        with self.connect(schema) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute(
                sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), SEEDED)
            )

    def processes(self) -> list[int]:
        """Return the server's processes where it is our own; nobody else's is ever touched."""
        if not self.is_ours:
            return []
        with self.connect("public") as connection:
            return tree(parent_of(connection.info.backend_pid))
