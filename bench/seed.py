"""Our tables and the peers', filled with the same customers and keys; and the few keys in use."""

from hashlib import sha256
from typing import Final

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.utils.crypto import get_random_string

from apikeys.plaintext import digest, locator_of
from apikeys.scopes import ALL_SCOPES
from bench.database import Connection

ORGANIZATIONS: Final = 1_000
SPREAD: Final = 2_000  # Keys in use, two an organization.
HOT: Final = 2_000  # As many more, all of the first organization.

IDS: Final = """ -- Public ids as long as real ones, unique, and in no order.
    CREATE OR REPLACE FUNCTION bench_id(prefix text, n bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT prefix || '_' || substr(md5(prefix || n), 1, 6) || lpad(to_hex(n), 6, '0')
    $$
"""
FILL: Final = (
    # As many keys as one likes: what is measured is not the rule against it.
    "UPDATE accounts_plan SET active_keys_limit = NULL",
    # Limits that nobody meets, but that are limits: the window is counted.
    """
    WITH made AS (
        INSERT INTO accounts_organization (id, name, plan_id, created_at, requests_per_minute,
                                           tests_limit, domains_limit)
        SELECT bench_id('org', n), 'Customer ' || lpad(n::text, 4, '0'), 'enterprise', now(),
               100000000, 100000000, 500
          FROM generate_series(1, %(organizations)s) n
     RETURNING id
    )
    INSERT INTO audit_audithead (organization_id, sequence, seal)
    SELECT id, 0, decode(repeat('00', 32), 'hex') FROM made
    """,
    # The spread keys in use first, then the first organization's, then those that nobody uses; and
    # last one an organization that may manage keys: it makes, rotates and revokes.
    """
    INSERT INTO apikeys_apikey (id, organization_id, livemode, name, scopes, created_at,
                                created_by, revoked_by, revoked_reason)
    SELECT bench_id('key', n),
           bench_id('org', CASE WHEN n > %(keys)s THEN n - %(keys)s
                                WHEN n BETWEEN %(spread)s + 1 AND %(spread)s + %(hot)s THEN 1
                                ELSE (n - 1) %% %(organizations)s + 1 END),
           TRUE, 'Key ' || lpad(n::text, 7, '0'),
           CASE WHEN n > %(keys)s THEN %(all)s::text[]
                ELSE '{tests:read,tests:write,domains:read}' END,
           now() - random() * interval '1 year', 'system', '', ''
      FROM generate_series(1, %(keys)s + %(organizations)s) n
    """,
    """
    INSERT INTO apikeys_keysecret (api_key_id, locator, digest, pepper_id, last_four, created_at,
                                   last_used_user_agent)
    SELECT bench_id('key', n), lpad(to_hex(n), 8, '0'), sha256(uuid_send(gen_random_uuid())), 1,
           substr(md5(n::text), 1, 4), now() - random() * interval '1 year', ''
      FROM generate_series(1, %(keys)s + %(organizations)s) n
    """,
)
# What a year of use leaves behind: days and months of every key, usage, audit events.
FILL_YEAR: Final = (
    """
    INSERT INTO apikeys_keyday (api_key_id, day, requests, limited)
    SELECT bench_id('key', n), current_date - back, 1 + (n * back) %% 900, 0
      FROM generate_series(1, %(keys)s) n, generate_series(1, %(days)s) back
    """,
    """
    INSERT INTO apikeys_keymonth (api_key_id, month, tests)
    SELECT bench_id('key', n), (date_trunc('month', current_date) - back * interval '1 month'), n
      FROM generate_series(1, %(keys)s) n, generate_series(1, least(12, %(days)s)) back
    """,
    """
    INSERT INTO accounts_usage (organization_id, livemode, meter, period_start, used)
    SELECT bench_id('org', n), livemode, 'tests',
           date_trunc('month', current_date) - back * interval '1 month', n
      FROM generate_series(1, %(organizations)s) n, generate_series(1, least(12, %(days)s)) back,
           (VALUES (TRUE), (FALSE)) AS mode (livemode)
    """,
    # Their seals fit nothing: nobody verifies them here.
    """
    INSERT INTO audit_auditevent (
           id, organization_id, sequence, action, actor_type, actor_id, actor_label, target_type,
           target_id, livemode, reason, changes, ip, user_agent, request_id, created_at,
           seal_key_id, seal)
    SELECT bench_id('evt', n * %(events)s + s), bench_id('org', n), s, 'api_key.issued', 'key',
           bench_id('key', n), 'Key', 'api_key', bench_id('key', n), TRUE, '',
           '{"name": [null, "Key"], "scopes": [null, ["tests:read"]]}', '192.0.2.7', 'bench',
           bench_id('req', n * %(events)s + s), now() - (%(events)s - s) * interval '8 hours', 1,
           sha256(int8send(n * %(events)s + s))
      FROM generate_series(1, %(organizations)s) n, generate_series(1, %(events)s) s
    """,
)

RENEW: Final = """
    UPDATE apikeys_keysecret s
       SET locator = f.locator, digest = f.digest, pepper_id = 1, ended_at = NULL, expires_at = NULL
      FROM unnest(%s::bigint[], %s::text[], %s::bytea[]) AS f (n, locator, digest)
     WHERE s.api_key_id = bench_id('key', f.n)
"""
# What the answers show; the month may have changed since the seeding.
USE_PLANS: Final = """
    INSERT INTO accounts_usage (organization_id, livemode, meter, period_start, used)
    SELECT o.id, TRUE, m.meter, m.since, 1 + abs(hashtext(o.id)) % 400
      FROM accounts_organization o,
           (VALUES ('tests', date_trunc('month', now() AT TIME ZONE 'UTC')::date),
                   ('domains', '1970-01-01')) AS m (meter, since)
        ON CONFLICT DO NOTHING
"""
# As in a steady stream of requests: each key was last used some time within the last minute, so
# that the share of requests which note it anew is that of a service which runs for hours.
SPREAD_LAST_USE: Final = """
    UPDATE apikeys_keysecret
       SET last_used_at = now() - random() * interval '1 minute',
           last_used_ip = '192.0.2.7', last_used_user_agent = 'bench'
     WHERE api_key_id IN (SELECT bench_id('key', n) FROM generate_series(1, %s) n)
"""
# And each was used today.
BEGIN_DAY: Final = """
    INSERT INTO apikeys_keyday (api_key_id, day, requests, limited)
    SELECT bench_id('key', n), (now() AT TIME ZONE 'UTC')::date, 1, 0 FROM generate_series(1, %s) n
        ON CONFLICT DO NOTHING
"""

SLOW: Final = 8  # Keys with an argon2 hash: making one takes as long as checking one.

PEERS_CUSTOMERS: Final = """
    INSERT INTO peers_customer
           (id, name, plan, tests_this_month, tests_limit, domains, domains_limit)
    SELECT o.id, o.name, o.plan_id, tests.used, o.tests_limit, domains.used, o.domains_limit
      FROM accounts_organization o
      JOIN accounts_usage tests ON tests.organization_id = o.id AND tests.meter = 'tests'
           AND tests.period_start = date_trunc('month', now() AT TIME ZONE 'UTC')::date
      JOIN accounts_usage domains ON domains.organization_id = o.id AND domains.meter = 'domains'
        ON CONFLICT (id) DO UPDATE
       SET tests_this_month = EXCLUDED.tests_this_month
"""
# Each with a secret that nobody holds.
FILL_PEERS: Final = (
    """
    INSERT INTO peers_account (key_id, key_name, scopes, livemode, customer_id, password)
    SELECT id, name, scopes, livemode, organization_id, '!' FROM apikeys_apikey ORDER BY name
    """,
    """
    INSERT INTO peers_bearerkey
           (key_id, key_name, scopes, livemode, customer_id, digest, revoked, slow_hash)
    SELECT id, name, scopes, livemode, organization_id, sha256(uuid_send(gen_random_uuid())),
           FALSE, ''
      FROM apikeys_apikey ORDER BY name
    """,
    """
    INSERT INTO peers_customerapikey (key_id, key_name, scopes, livemode, customer_id, id, prefix,
                                      hashed_key, created, name, revoked)
    SELECT id, name, scopes, livemode, organization_id,
           right(id, 8) || '.sha512$$' || encode(sha512(id::bytea), 'hex'), right(id, 8),
           'sha512$$' || encode(sha512(id::bytea), 'hex'), now(), name, FALSE
      FROM apikeys_apikey ORDER BY name
    """,
    """
    INSERT INTO authtoken_token (key, user_id, created)
    SELECT left(encode(sha256(uuid_send(gen_random_uuid())), 'hex'), 40), id, now()
      FROM peers_account
    """,
    """
    INSERT INTO knox_authtoken (digest, token_key, user_id, created)
    SELECT encode(sha512(uuid_send(gen_random_uuid())), 'hex'), left(md5(id::text), 15), id, now()
      FROM peers_account
    """,
)
# The keys in use have the same secrets as ours, or what their form allows: parts of a digest.
RENEW_PEERS: Final = (
    """
    CREATE TEMPORARY TABLE fresh AS
    SELECT a.id AS account, a.key_id, sha256(p::bytea) AS digest, h, slow, left(h, 8) AS prefix,
           'sha512$$' || encode(sha512((left(h, 8)||'.'||substr(h, 9, 32))::bytea), 'hex') AS hashed
      FROM unnest(%(plaintexts)s::text[], %(slow)s::text[]) WITH ORDINALITY AS given (p, slow, n),
           encode(sha256(p::bytea), 'hex') AS h, peers_account a
     WHERE a.key_id = bench_id('key', n)
    """,
    """
    UPDATE peers_bearerkey k SET digest = f.digest, slow_hash = coalesce(slow, '')
      FROM fresh f WHERE k.key_id = f.key_id
    """,
    """
    UPDATE peers_customerapikey k SET id = f.prefix || '.' || hashed, prefix = f.prefix,
           hashed_key = hashed
      FROM fresh f WHERE k.key_id = f.key_id
    """,
    "UPDATE authtoken_token SET key = left(h, 40) FROM fresh WHERE user_id = account",
    """
    UPDATE knox_authtoken SET digest = encode(sha512(h::bytea), 'hex'), token_key = left(h, 15)
      FROM fresh WHERE user_id = account
    """,
    "VACUUM ANALYZE peers_bearerkey, peers_customerapikey, authtoken_token, knox_authtoken",
)


def fill(connection: Connection, *, keys: int, days: int = 0, events: int = 0) -> None:
    """Fill the empty tables, with days of use and events of each organization if there are any."""
    numbers: dict[str, object] = {
        "keys": keys,
        "days": days,
        "events": events,
        "all": list(ALL_SCOPES),
    }
    numbers |= {"organizations": ORGANIZATIONS, "spread": SPREAD, "hot": HOT}
    for statement in (IDS, *FILL, *(FILL_YEAR if days else ())):
        connection.execute(statement.encode(), numbers if "%" in statement else None)


def store(connection: Connection, plaintexts: list[str], *, keys: int, pepper: bytes) -> None:
    """Make these the secrets of the keys in use and of the managers, under this pepper."""
    used = [*range(1, SPREAD + HOT + 1), *range(keys + 1, keys + ORGANIZATIONS + 1)]
    digests = [digest(one, pepper=pepper) for one in plaintexts]
    connection.execute(RENEW, [used, [locator_of(one) for one in plaintexts], digests])
    connection.execute(USE_PLANS)
    settle(connection)
    connection.execute("VACUUM ANALYZE apikeys_keysecret, apikeys_keyday, accounts_usage")


def settle(connection: Connection) -> None:
    """Leave the keys in use as they are in the middle of a busy day."""
    for statement in (SPREAD_LAST_USE, BEGIN_DAY):
        connection.execute(statement, [SPREAD + HOT])


def fill_peers(connection: Connection) -> None:
    """Fill the peers' empty tables after ours."""
    for statement in (PEERS_CUSTOMERS, *FILL_PEERS):
        connection.execute(statement.encode())


def renew_peer_keys(connection: Connection, plaintexts: list[str]) -> dict[str, list[str]]:
    """Give the peers' keys in use new secrets; return the Authorization headers they take."""
    hasher = Argon2PasswordHasher()
    slow = [hasher.encode(one, get_random_string(22)) for one in plaintexts[:SLOW]]
    for statement in (PEERS_CUSTOMERS, *RENEW_PEERS):
        given = {"plaintexts": plaintexts, "slow": slow} if "%" in statement else None
        connection.execute(statement.encode(), given)
    digests = [sha256(one.encode()).hexdigest() for one in plaintexts]
    return {
        "drf_api_key": [f"Api-Key {one[:8]}.{one[8:40]}" for one in digests],
        "authtoken": [f"Token {one[:40]}" for one in digests],
        "knox": [f"Token {one}" for one in digests],
        "slow": [f"Bearer {one}" for one in plaintexts[:SLOW]],
    }
