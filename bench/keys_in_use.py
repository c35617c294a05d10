"""The keys in use: each run gives them new secrets, so that none lies about on a disk."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from apikeys.keys import digest, locator_of, new_plaintext
from bench.database import Connection, Database
from bench.seed_ours import HOT, ORGANIZATIONS, SPREAD

FRESH: Final = """
    CREATE TEMPORARY TABLE fresh (n bigint, locator text, digest bytea, last_four text)
"""
RENEW: Final = """
    UPDATE apikeys_keysecret s
       SET locator = f.locator, digest = f.digest, last_four = f.last_four, pepper_id = 1,
           ended_at = NULL, expires_at = NULL
      FROM fresh f
     WHERE s.api_key_id = bench_id('key', f.n)
"""
# What the answers show; the month may have changed since the seeding.
USE_PLANS: Final = """
    INSERT INTO accounts_usage (organization_id, livemode, meter, period_start, used)
    SELECT o.id, TRUE, m.meter, m.since, 1 + abs(hashtext(o.id)) %% 400
      FROM accounts_organization o,
           (VALUES ('tests', %(month)s::date), ('domains', '1970-01-01')) AS m (meter, since)
        ON CONFLICT DO NOTHING
"""
# As in a steady stream of requests: each key was last used some time within the last minute, so
# that the share of requests which note it anew is that of a service which runs for hours.
SPREAD_LAST_USE: Final = """
    UPDATE apikeys_keysecret
       SET last_used_at = now() - random() * interval '1 minute',
           last_used_ip = '192.0.2.7', last_used_user_agent = 'bench'
     WHERE api_key_id IN (SELECT bench_id('key', n) FROM generate_series(1, %(used)s) n)
"""
# And each was used today.
BEGIN_DAY: Final = """
    INSERT INTO apikeys_keyday (api_key_id, day, requests, limited)
    SELECT bench_id('key', n), %(today)s, 1, 0 FROM generate_series(1, %(used)s) n
        ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class KeysInUse:
    """Plaintexts, in memory and in a file of the run's own."""

    spread: list[str]  # Of all organizations, two each.
    hot: list[str]  # All of the first organization.
    managers: list[str]  # One an organization.

    @classmethod
    def make(cls) -> "KeysInUse":
        plaintexts = [new_plaintext(livemode=True) for _ in range(SPREAD + HOT + ORGANIZATIONS)]
        return cls(
            plaintexts[:SPREAD], plaintexts[SPREAD:-ORGANIZATIONS], plaintexts[-ORGANIZATIONS:]
        )

    def store(self, database: Database, *, schema: str, keys: int, pepper: bytes) -> None:
        """Make these the secrets of a schema's keys in use, as if issued under this pepper."""
        numbered = [
            *enumerate([*self.spread, *self.hot], start=1),
            *enumerate(self.managers, start=keys + 1),
        ]
        with database.connect(schema) as connection:
            connection.execute(FRESH)
            with connection.cursor().copy("COPY fresh FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "text", "bytea", "text"])
                for n, plaintext in numbered:
                    stored = digest(plaintext, pepper=pepper)
                    copy.write_row((n, locator_of(plaintext), stored, plaintext[-4:]))
            connection.execute(RENEW)
            today = datetime.now(UTC).date()
            connection.execute(USE_PLANS, {"month": today.replace(day=1)})
            settle(connection, used=SPREAD + HOT)
            connection.execute("VACUUM ANALYZE apikeys_keysecret, apikeys_keyday, accounts_usage")


def settle(connection: Connection, *, used: int = SPREAD) -> None:
    """Leave the first keys in use as they are in the middle of a busy day."""
    connection.execute(SPREAD_LAST_USE, {"used": used})
    connection.execute(BEGIN_DAY, {"today": datetime.now(UTC).date(), "used": used})


def unknown(plaintexts: list[str]) -> list[str]:
    """Return as many well-formed keys that were never issued."""
    return [new_plaintext(livemode=True) for _ in plaintexts]


def malformed(plaintexts: list[str]) -> list[str]:
    """Return the same keys, each with a typo at its end."""
    return [text[:-1] + ("0" if text[-1] != "0" else "1") for text in plaintexts]
