"""What a year of use leaves behind: days and months of every key, usage, audit events."""

from typing import Final

from bench.database import Database
from bench.machine import say
from bench.seed_ours import IDS, ORGANIZATIONS, fill, migrate

EVENTS: Final = 1_000  # Of each organization.

FILL: Final = (
    """
    INSERT INTO apikeys_keyday (api_key_id, day, requests, limited)
    SELECT bench_id('key', n), current_date - back, 1 + (n * back) %% 900, 0
      FROM generate_series(1, %(keys)s) n, generate_series(1, 365) back
    """,
    """
    INSERT INTO apikeys_keymonth (api_key_id, month, tests)
    SELECT bench_id('key', n), (date_trunc('month', current_date) - back * interval '1 month'), n
      FROM generate_series(1, %(keys)s) n, generate_series(1, 12) back
    """,
    """
    INSERT INTO accounts_usage (organization_id, livemode, meter, period_start, used)
    SELECT bench_id('org', n), livemode, 'tests',
           date_trunc('month', current_date) - back * interval '1 month', n
      FROM generate_series(1, %(organizations)s) n, generate_series(1, 12) back,
           (VALUES (TRUE), (FALSE)) AS mode (livemode)
    """,
    # Their seals fit nothing: nobody verifies them here.
    """
    INSERT INTO accounts_auditevent
           (id, organization_id, sequence, action, actor_type, actor_id, actor_label, target_type,
            target_id, livemode, reason, changes, ip, user_agent, request_id, created_at,
            seal_key_id, seal)
    SELECT bench_id('evt', n * %(events)s + s), bench_id('org', n), s, 'api_key.issued', 'key',
           bench_id('key', n), 'Key', 'api_key', bench_id('key', n), TRUE, '',
           '{"name": [null, "Key"], "scopes": [null, ["tests:read"]]}', '192.0.2.7', 'bench',
           bench_id('req', n * %(events)s + s), now() - (%(events)s - s) * interval '8 hours', 1,
           sha256(int8send(n * %(events)s + s))
      FROM generate_series(1, %(organizations)s) n, generate_series(1, %(events)s) s
    """,
    "ALTER TABLE accounts_audithead DISABLE TRIGGER USER",
    "UPDATE accounts_audithead SET sequence = %(events)s",
    "ALTER TABLE accounts_audithead ENABLE TRIGGER USER",
)


def seed_year(database: Database, *, schema: str, keys: int) -> None:
    """Make and fill a schema of ours with a year behind it, unless it is there already."""
    if database.is_seeded(schema):
        return
    say(f"Seeding {schema}: a year of {keys:,} keys and {ORGANIZATIONS * EVENTS:,} events, once.")
    database.begin(schema)
    migrate(database, schema)
    numbers = {"keys": keys, "organizations": ORGANIZATIONS, "events": EVENTS}
    with database.connect(schema) as connection:
        connection.execute(IDS)
        fill(connection, keys=keys)
        for statement in FILL:
            connection.execute(statement.encode(), numbers if "%" in statement else None)
    database.finish(schema)
