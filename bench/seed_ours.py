"""Our own tables, made by our own migrations, and filled with keys that nobody holds."""

import subprocess
import sys
from typing import Final

from bench.database import Connection, Database
from bench.machine import ROOT, say
from bench.servers import production_environ

ORGANIZATIONS: Final = 1_000
SPREAD: Final = 2_000  # Keys in use, two an organization.
HOT: Final = 2_000  # As many more, all of the first organization.
ALL_SCOPES: Final = (
    "{tests:read,tests:write,domains:read,domains:write,"
    "monitors:read,monitors:write,webhooks:manage,billing:manage}"
)

# Public ids as long as real ones, unique, and in no order.
IDS: Final = """
    CREATE OR REPLACE FUNCTION bench_id(prefix text, n bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT prefix || '_' || substr(md5(prefix || n), 1, 6) || lpad(to_hex(n), 6, '0')
    $$
"""

# Limits that nobody meets, but that are limits: the window is counted.
ORGANIZATION: Final = """
    WITH made AS (
        INSERT INTO accounts_organization
               (id, name, plan_id, created_at, requests_per_minute, tests_limit, domains_limit,
                contact_email)
        SELECT bench_id('org', n), 'Customer ' || lpad(n::text, 4, '0'), 'enterprise', now(),
               100000000, 100000000, 500, ''
          FROM generate_series(1, %(organizations)s) n
     RETURNING id
    )
    INSERT INTO accounts_audithead (organization_id, sequence, seal)
    SELECT id, 0, decode(repeat('00', 32), 'hex') FROM made
"""

# The spread keys in use first, then the first organization's, then those that nobody uses.
KEY: Final = """
    INSERT INTO apikeys_apikey
           (id, organization_id, livemode, name, scopes, created_at, created_by, revoked_by,
            revoked_reason)
    SELECT bench_id('key', n),
           bench_id('org', CASE WHEN n BETWEEN %(spread)s + 1 AND %(spread)s + %(hot)s THEN 1
                                ELSE (n - 1) %% %(organizations)s + 1 END),
           TRUE, 'Key ' || lpad(n::text, 7, '0'), '{tests:read,tests:write,domains:read}',
           now() - random() * interval '1 year', 'system', '', ''
      FROM generate_series(1, %(keys)s) n
"""
# One a customer that may manage keys: it makes, rotates and revokes.
MANAGER: Final = """
    INSERT INTO apikeys_apikey
           (id, organization_id, livemode, name, scopes, created_at, created_by, revoked_by,
            revoked_reason)
    SELECT bench_id('key', n + %(keys)s), bench_id('org', n), TRUE, 'Manager', %(all)s,
           now() - random() * interval '1 year', 'system', '', ''
      FROM generate_series(1, %(organizations)s) n
"""
PROOF: Final = """
    INSERT INTO apikeys_keysecret
           (api_key_id, locator, digest, pepper_id, last_four, created_at, last_used_user_agent)
    SELECT bench_id('key', n), lpad(to_hex(n), 8, '0'), sha256(uuid_send(gen_random_uuid())), 1,
           substr(md5(n::text), 1, 4), now() - random() * interval '1 year', ''
      FROM generate_series(1, %(keys)s + %(organizations)s) n
"""


def schema_of(keys: int) -> str:
    return f"bench_{keys}_keys"


def seed_ours(database: Database, *, schema: str, keys: int) -> None:
    """Make and fill a schema of ours, unless it is there already."""
    if database.is_seeded(schema):
        return
    say(f"Seeding {schema}: {keys:,} keys of {ORGANIZATIONS:,} organizations, once.")
    database.begin(schema)
    migrate(database, schema)
    with database.connect(schema) as connection:
        connection.execute(IDS)
        fill(connection, keys=keys)
    database.finish(schema)


def migrate(database: Database, schema: str) -> None:
    """Run the product's own migrations."""
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        cwd=ROOT,
        env={**production_environ(), "DATABASE_URL": database.url(schema)},
        check=True,
    )


def fill(connection: Connection, *, keys: int) -> None:
    """Fill the empty tables."""
    numbers = {
        "keys": keys,
        "organizations": ORGANIZATIONS,
        "spread": SPREAD,
        "hot": HOT,
        "all": ALL_SCOPES,
    }
    # As many keys as one likes: what is measured is not the rule against it.
    connection.execute("UPDATE accounts_plan SET active_keys_limit = NULL")
    for statement in (ORGANIZATION, KEY, MANAGER, PROOF):
        connection.execute(statement, numbers)
