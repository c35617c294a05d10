"""verify_audit on very many events: `python -m bench.audit [EVENTS]`, by default ten million.

Seeds sealed events of 1,000 organizations (an hour and 11 GB for ten million), verifies them in a
process of its own, prints its time and its peak memory, and drops them.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any, Final

import django
from psycopg.types.json import Jsonb

from bench.database import Connection, Database
from bench.machine import ROOT, say
from bench.seed import ORGANIZATIONS, fill

SCHEMA: Final = "bench_audit"
BEGAN: Final = datetime(2025, 1, 1, tzinfo=UTC)


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    database = Database()
    names = ("API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS")
    os.environ |= {name: f"1:{token_urlsafe(32)}" for name in names}
    os.environ |= {"DATABASE_URL": database.url(SCHEMA), "SECRET_KEY": token_urlsafe(48)}
    os.environ |= {"ALLOWED_HOSTS": "127.0.0.1", "PUBLIC_URL": "https://api.example"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "reachscore.settings"
    with database.connect("public") as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    try:
        manage("migrate", "--verbosity=0")
        with database.connect(SCHEMA) as connection:
            fill(connection, keys=ORGANIZATIONS)
            say(f"Writing {events:,} events.")
            write(connection, each=events // ORGANIZATIONS)
        say("Verifying them.")
        began = time.monotonic()
        manage("verify_audit")
        seconds = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        say(f"{events / seconds:,.0f} events a second; at most {peak} MB of memory.")
    finally:
        with database.connect("public") as connection:
            connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def manage(*command: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )


def write(connection: Connection, *, each: int) -> None:
    """Write so many events of each organization, and set their heads."""
    django.setup()
    from audit.models import AuditEvent  # noqa: PLC0415 - as for every module that holds models
    from audit.seals import GENESIS  # noqa: PLC0415

    columns = [*AuditEvent.sealed_columns(), "seal"]
    heads: list[tuple[str, bytes]] = []

    def chain(organization_id: str) -> Iterator[tuple[Any, ...]]:
        seal = GENESIS
        for sequence in range(1, each + 1):
            event = AuditEvent(
                organization_id=organization_id,
                sequence=sequence,
                action="api_key.issued",
                actor_type="key",
                actor_id="key_3iS8wW2xYbC4",
                actor_label="Key",
                target_type="api_key",
                target_id="key_3iS8wW2xYbC4",
                livemode=True,
                changes={"name": [None, "Key"], "scopes": [None, ["tests:read"]]},
                ip="192.0.2.7",
                user_agent="bench",
                request_id="req_3iS8wW2xYbC4",
                created_at=BEGAN + timedelta(seconds=sequence),
            )
            event.seal_after(seal)
            seal = bytes(event.seal)
            values = {name: getattr(event, name) for name in columns}
            yield tuple((values | {"changes": Jsonb(event.changes)}).values())
        heads.append((organization_id, seal))

    ids = [id_ for (id_,) in connection.execute("SELECT id FROM accounts_organization").fetchall()]
    copied = f"COPY audit_auditevent ({', '.join(columns)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(copied) as copy:
        for organization_id in ids:
            for row in chain(organization_id):
                copy.write_row(row)
    connection.execute("SET session_replication_role = replica")  # A head moves one step only.
    with connection.cursor() as cursor:
        update = "UPDATE audit_audithead SET sequence = %s, seal = %s WHERE organization_id = %s"
        cursor.executemany(update, [(each, seal, id_) for id_, seal in heads])


if __name__ == "__main__":
    main()
