"""The peers' tables, made by their own migrations, with the same customers and keys as ours."""

import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256, sha512
from secrets import token_hex
from typing import Final

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.utils.crypto import get_random_string

from bench.database import Database
from bench.keys_in_use import KeysInUse
from bench.machine import ROOT, say
from bench.servers import production_environ

SCHEMA: Final = "bench_peers"
SLOW: Final = 8  # Keys with an argon2 hash: making one takes as long as checking one.

CUSTOMERS: Final = """
    INSERT INTO peers_customer AS c
           (id, name, plan, tests_this_month, tests_limit, domains, domains_limit)
    SELECT o.id, o.name, o.plan_id, tests.used, o.tests_limit, domains.used, o.domains_limit
      FROM accounts_organization o
      JOIN accounts_usage tests ON tests.organization_id = o.id AND tests.meter = 'tests'
           AND tests.period_start = date_trunc('month', now() AT TIME ZONE 'UTC')::date
      JOIN accounts_usage domains ON domains.organization_id = o.id AND domains.meter = 'domains'
        ON CONFLICT (id) DO UPDATE
       SET tests_this_month = EXCLUDED.tests_this_month
"""
FILL: Final = (
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
    INSERT INTO peers_customerapikey
           (key_id, key_name, scopes, livemode, customer_id, id, prefix, hashed_key, created, name,
            revoked)
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

FRESH: Final = """
    CREATE TEMPORARY TABLE fresh
           (n bigint, digest bytea, prefix text, hashed text, authtoken text, knox_digest text,
            knox_key text)
"""
RENEW: Final = (
    """
    UPDATE peers_bearerkey k SET digest = f.digest
      FROM fresh f WHERE k.key_id = bench_id('key', f.n)
    """,
    """
    UPDATE peers_customerapikey k
       SET id = f.prefix || '.' || f.hashed, prefix = f.prefix, hashed_key = f.hashed
      FROM fresh f WHERE k.key_id = bench_id('key', f.n)
    """,
    """
    UPDATE authtoken_token t SET key = f.authtoken
      FROM fresh f JOIN peers_account a ON a.key_id = bench_id('key', f.n) WHERE t.user_id = a.id
    """,
    """
    UPDATE knox_authtoken t SET digest = f.knox_digest, token_key = f.knox_key
      FROM fresh f JOIN peers_account a ON a.key_id = bench_id('key', f.n) WHERE t.user_id = a.id
    """,
)


@dataclass(frozen=True)
class PeerKeys:
    """The Authorization headers of the keys in use, for each way to write them."""

    bearer: list[str]
    drf_api_key: list[str]
    authtoken: list[str]
    knox: list[str]


def seed_peers(database: Database, *, ours: str) -> None:
    """Make and fill the peers' schema after ours, unless it is there already."""
    if database.is_seeded(SCHEMA):
        return
    say(f"Seeding {SCHEMA}: the same keys for the peers, once.")
    database.begin(SCHEMA)
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"],
        cwd=ROOT,
        env={
            **production_environ(),
            "DATABASE_URL": database.url(SCHEMA),
            "DJANGO_SETTINGS_MODULE": "bench.peers.settings",
        },
        check=True,
    )
    with database.connect(f"{SCHEMA},{ours}") as connection:
        for statement in (CUSTOMERS, *FILL):
            connection.execute(statement.encode())
    database.finish(SCHEMA)


def renew_peer_keys(database: Database, keys: KeysInUse, *, ours: str) -> PeerKeys:
    """Give the peers' keys in use new secrets: those of ours, where any form will do."""
    made = PeerKeys([f"Bearer {one}" for one in keys.spread], [], [], [])
    with database.connect(f"{SCHEMA},{ours}") as connection:
        connection.execute(CUSTOMERS)
        connection.execute(FRESH)
        with connection.cursor().copy("COPY fresh FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "bytea", *["text"] * 5])
            for n, plaintext in enumerate(keys.spread, start=1):
                prefix, token, knox = get_random_string(8), token_hex(20), token_hex(32)
                api_key = f"{prefix}.{get_random_string(32)}"
                hashed = f"sha512$${sha512(api_key.encode()).hexdigest()}"
                knox_digest = sha512(knox.encode()).hexdigest()
                digest = sha256(plaintext.encode()).digest()
                copy.write_row((n, digest, prefix, hashed, token, knox_digest, knox[:15]))
                made.drf_api_key.append(f"Api-Key {api_key}")
                made.authtoken.append(f"Token {token}")
                made.knox.append(f"Token {knox}")
        for statement in RENEW:
            connection.execute(statement)
        connection.execute(
            "VACUUM ANALYZE peers_bearerkey, peers_customerapikey, authtoken_token, knox_authtoken"
        )
    return made


def hash_slowly(database: Database, keys: KeysInUse, *, ours: str) -> list[str]:
    """Give some keys an argon2 hash as well; return their Authorization headers."""
    hasher = Argon2PasswordHasher()
    with database.connect(f"{SCHEMA},{ours}") as connection:
        for n, plaintext in enumerate(keys.spread[:SLOW], start=1):
            slow = hasher.encode(plaintext, get_random_string(22))
            connection.execute(
                "UPDATE peers_bearerkey SET slow_hash = %s WHERE key_id = bench_id('key', %s)",
                [slow, n],
            )
    return [f"Bearer {plaintext}" for plaintext in keys.spread[:SLOW]]
