"""What a service has after a year, for `bench.pages`: names, uses, events of very many keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.database import Connection
from bench.machine import say
from bench.seed import ORGANIZATIONS, fill

BASE: Final = 250_000  # Keys that are made one by one; the others are copies of them.
EVENTS: Final = 1_000_000  # Of the old customer alone; each key of the base has one, too.
LARGE: Final = (
    "apikeys_apikey",
    "apikeys_keysecret",
    "apikeys_keyday",
    "apikeys_scopegrant",
    "audit_auditevent",
)
# What differs in copies of rows: two letters from g on, in place of hexadecimal digits.
LETTERS: Final = "chr(103 + COPY % 20) || chr(103 + COPY / 20)"
COPIED_ID: Final = "overlay({} placing " + LETTERS + " from {} for 2)"
OF_KEY: Final = {"api_key_id": COPIED_ID.format("api_key_id", 5)}
RECENT: Final = "day >= current_date - 1"  # Each visit of the home page sums these two.
DIGEST: Final = "sha256(digest || int4send(COPY))"
COPIES: Final[dict[str, dict[str, str]]] = {
    "apikeys_apikey": {"id": COPIED_ID.format("id", 5)},
    "apikeys_keysecret": {
        **OF_KEY,
        "id": "nextval(pg_get_serial_sequence('apikeys_keysecret', 'id'))",
        "locator": COPIED_ID.format("locator", 2),
        "digest": DIGEST,
        "last_four": f"left(translate(encode({DIGEST}, 'base64'), '+/=', 'abc'), 4)",
    },
    "apikeys_scopegrant": OF_KEY,
    "apikeys_keyday": OF_KEY,
}
# How to drop and to make each index but the primary key's.
INDEXES: Final = """
    SELECT CASE WHEN contype IS NULL THEN format('DROP INDEX %%s', indexrelid::regclass)
           ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', indrelid::regclass, conname) END,
           CASE WHEN contype IS NULL THEN pg_get_indexdef(indexrelid)
           ELSE format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', indrelid::regclass, conname,
                       pg_get_constraintdef(c.oid)) END
      FROM pg_index LEFT JOIN pg_constraint c ON conindid = indexrelid AND contype = 'u'
     WHERE indrelid = ANY (%s::regclass[]) AND NOT indisprimary
       AND indexrelid::regclass::text <> %s
"""
# Customers and keys as people name them; one old customer has a twentieth of all keys.
DRESS: Final = (
    # The keys get their texts with their names.
    "ALTER TABLE accounts_organization DISABLE TRIGGER organization_search_text_of_keys",
    """
    UPDATE accounts_organization SET
           name = (ARRAY['Initech', 'Zoë', 'Müller', 'Acme', 'Globex', 'Hooli', 'Société Générale',
                         'Ångström', '北京邮件', 'Почта'])[1 + h %% 10] || ' '
               || (ARRAY['Mail', 'Logistik', 'Services', 'Labs', 'Media'])[1 + h / 10 %% 5] || ' '
               || (ARRAY['GmbH', 'Inc', 'Ltd', 'SA', 'AB'])[1 + h / 50 %% 5] || ' ' || right(id, 4),
           suspended_at = CASE WHEN h %% 50 = 0 THEN now() END,
           plan_id = (ARRAY['free', 'starter', 'team', 'business', 'enterprise'])[1 + h %% 5]
      FROM (SELECT id AS this, abs(hashtext(id)) AS h FROM accounts_organization) AS x
     WHERE this = id
    """,
    """
    INSERT INTO notices_contact (organization_id, email, created_at, verified_at)
    SELECT id, 'ops' || right(id, 4) || '@' || right(id, 4) || '.example', now(), now()
      FROM accounts_organization
    """,
    "UPDATE accounts_organization SET name = 'Olderstone Archive' WHERE id = bench_id('org', 7)",
    "ALTER TABLE accounts_organization ENABLE TRIGGER organization_search_text_of_keys",
    """
    UPDATE apikeys_apikey SET
           name = (ARRAY['production', 'staging', 'CI', 'nightly', 'backup', 'newsletter', 'import',
                         'webhook', 'monitoring', 'Zoë’s'])[1 + h %% 10] || ' '
               || (ARRAY['pipeline', 'worker', 'server', 'cron', 'export'])[1 + h / 10 %% 5] || ' '
               || h / 50 %% 1000,
           livemode = h %% 4 <> 0,
           organization_id = CASE WHEN h %% 20 = 7 THEN bench_id('org', 7)
                             ELSE organization_id END,
           created_at = created_at - CASE WHEN h %% 20 = 7 THEN interval '2 years'
                                     ELSE interval '0' END,
           expires_at = CASE WHEN h %% 10 = 0 THEN created_at + interval '1 day' * (1 + h %% 700)
                        END,
           revoked_at = CASE WHEN h %% 20 = 1 THEN created_at + (now() - created_at) * random() END,
           allowed_ips = CASE WHEN h %% 40 = 2 THEN
               ARRAY[('10.' || h %% 256 || '.' || h / 256 %% 256 || '.7')::cidr] END
      FROM (SELECT id AS this, abs(hashtext(id)) AS h FROM apikeys_apikey) AS x
     WHERE this = id
    """,
    """
    UPDATE apikeys_keysecret SET
           last_four = left(translate(encode(digest, 'base64'), '+/=', 'abc'), 4),
           last_used_at = CASE WHEN id %% 3 <> 0 THEN now() - interval '1 day' * (id / 3 %% 200) END
    """,
    """
    INSERT INTO apikeys_keysecret (api_key_id, locator, digest, pepper_id, last_four, created_at,
                                   last_used_user_agent, expires_at)
    SELECT api_key_id, 'R' || lpad(to_hex(id), 7, '0'), sha256(int8send(id)), 1, last_four,
           created_at, '', now() + interval '2 days' * CASE WHEN id %% 5 = 0 THEN 1 ELSE -9 END
      FROM apikeys_keysecret WHERE id %% 200 = 0
    """,
    """
    INSERT INTO apikeys_scopegrant (api_key_id, scope, granted_at, last_exercised_on)
    SELECT id, scope, created_at, CASE WHEN hashtext(id || scope) %% 2 = 0 THEN current_date END
      FROM apikeys_apikey, unnest(scopes) scope
    """,
    """
    INSERT INTO apikeys_keyday (api_key_id, day, requests, limited)
    SELECT bench_id('key', n), current_date - back, 1 + (n * back) %% 900, 0
      FROM generate_series(0, 29) back, generate_series(1, %(keys)s / 10) n
    """,
    """
    INSERT INTO accounts_usage (organization_id, livemode, meter, period_start, used)
    SELECT bench_id('org', n), livemode, 'tests', date_trunc('month', current_date), n
      FROM generate_series(1, %(organizations)s) n, (VALUES (TRUE), (FALSE)) AS mode (livemode)
    """,
    # Their seals fit nothing: nobody verifies them here.
    """
    INSERT INTO audit_auditevent (
           id, organization_id, sequence, action, actor_type, actor_id, actor_label, target_type,
           target_id, livemode, reason, changes, ip, user_agent, request_id, created_at,
           seal_key_id, seal)
    SELECT bench_id('evt', n), organization_id, n,
           CASE WHEN n %% 20 = 0 THEN 'api_key.revoked' ELSE 'api_key.issued' END,
           CASE WHEN n %% 50 = 0 THEN 'staff' ELSE 'key' END, bench_id('key', n),
           CASE WHEN n %% 50 = 0 THEN 'sam' ELSE name END, 'api_key', bench_id('key', n), TRUE,
           CASE WHEN n %% 50 = 0 THEN 'left the company' ELSE '' END, '{}',
           ('10.0.' || n %% 256 || '.' || n / 256 %% 256)::inet, 'bench', bench_id('req', n),
           now() - n * interval '30 seconds', 1, sha256(int8send(n))
      FROM generate_series(1, %(keys)s) n JOIN apikeys_apikey ON id = bench_id('key', n)
    """,
    # A million of the old customer's, in live mode: half by one key and half by another.
    """
    INSERT INTO audit_auditevent (
           id, organization_id, sequence, action, actor_type, actor_id, actor_label, target_type,
           target_id, livemode, reason, changes, ip, user_agent, request_id, created_at,
           seal_key_id, seal)
    SELECT bench_id('evt', %(events)s + n), bench_id('org', 7), %(events)s + n,
           (ARRAY['api_key.changed', 'api_key.rotated'])[1 + n %% 2], 'key',
           (ARRAY[one, other])[1 + n %% 2], 'n', 'api_key', bench_id('key', n / 10), TRUE, '', '{}',
           '10.0.0.1', 'bench', bench_id('req', %(events)s + n),
           now() - (%(events)s - n) * interval '30 seconds', 1, sha256(int8send(n))
      FROM generate_series(1, %(events)s) n,
           (SELECT min(id) AS one, max(id) AS other FROM apikeys_apikey
             WHERE organization_id = bench_id('org', 7) AND livemode) AS key
    """,
    "VACUUM FULL apikeys_apikey",
    "VACUUM FULL apikeys_keysecret",
    "VACUUM ANALYZE audit_auditevent",
)


def dress(connection: Connection, *, keys: int) -> None:
    """Fill the empty tables, and give the rows what a service has after a year."""
    base = min(keys, BASE)
    numbers = {"keys": base, "events": EVENTS, "organizations": ORGANIZATIONS}
    fill(connection, keys=base)
    for statement in DRESS:
        connection.execute(statement.encode(), numbers if "%" in statement else None)
    connection.execute("SET session_replication_role = replica")  # No trigger, no foreign key.
    for table, differing in COPIES.items():
        _copy(connection, table, differing, times=keys // base)
    connection.execute("RESET session_replication_role")


def _copy(connection: Connection, table: str, differing: dict[str, str], *, times: int) -> None:
    """Copy a table's rows until there are so many times as many keys."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    names = [name for (name,) in connection.execute(query, [table]).fetchall()]
    values = ", ".join(differing.get(name, name) for name in names)
    key = "id" if table == "apikeys_apikey" else "api_key_id"
    select = f"SELECT {values} FROM {table} WHERE {key} < 'key_g'"  # noqa: S608 - our own names
    if "day" in names:
        select += f" AND {RECENT}"
    for copy in range(1, times):
        say(f"{table}: copy {copy}.")
        copied = select.replace("COPY", str(copy))
        connection.execute(f"INSERT INTO {table} ({', '.join(names)}) {copied}".encode())


@contextmanager
def quickly(
    connection: Connection, *, bare: tuple[str, ...] = LARGE, kept: str = ""
) -> Iterator[None]:
    """Write without waiting for the disk, and without the indexes of the `bare` tables.

    They are built afterwards; if an index is to be kept, all others are gone for good.
    """
    unsafe = ("fsync = off", "full_page_writes = off", "max_wal_size = '8GB'")
    for setting in unsafe:
        connection.execute(f"ALTER SYSTEM SET {setting}".encode())
    connection.execute("SELECT pg_reload_conf()")
    connection.execute("SET maintenance_work_mem = '1GB'")
    indexes = connection.execute(INDEXES, [list(bare), kept]).fetchall()
    for drop, _ in indexes:
        connection.execute(drop.encode())
    yield
    for _, make in () if kept else indexes:
        connection.execute(make.encode())
    connection.execute("ALTER SYSTEM RESET ALL")
    connection.execute("SELECT pg_reload_conf()")
    connection.execute("CHECKPOINT")
