"""A schema for a measurement, migrated, dropped afterwards; and the product's commands on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_urlsafe
from subprocess import PIPE

from bench.database import Connection, Database
from bench.machine import ROOT


@contextmanager
def scratch(database: Database, schema: str) -> Iterator[Connection]:
    """Yield a connection to an empty, migrated schema, and set the environment for `manage`."""
    names = ("API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS")
    os.environ |= {name: f"1:{token_urlsafe(32)}" for name in names}
    os.environ |= {"DATABASE_URL": database.url(schema), "SECRET_KEY": token_urlsafe(48)}
    os.environ |= {"ALLOWED_HOSTS": "127.0.0.1", "PUBLIC_URL": "https://api.example"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "reachscore.settings"
    with database.connect("public") as outside:
        outside.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}".encode())
        try:
            manage("migrate", "--verbosity=0")
            with database.connect(schema) as connection:
                yield connection
        finally:
            outside.execute(f"DROP SCHEMA {schema} CASCADE".encode())


def manage(*command: str) -> str:
    """Run a command of the product to its end; return what it prints."""
    words = [sys.executable, "manage.py", *command]
    return subprocess.run(words, cwd=ROOT, check=True, stdout=PIPE, text=True).stdout
