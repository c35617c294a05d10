"""The one statement of every authenticated request: finds the caller, counts for the rate limit."""

from datetime import datetime
from functools import cache
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import Format

from accounts.models.usage import ALWAYS
from apikeys.authentication.caller import Caller
from apikeys.plaintext import verifying_digests

# In this order:
# found    The secret by its digest, with its key, organization and plan, and what is used of the
#          plan in the periods that accounts.models.usage.period_of names. The digest is unique, and
#          nobody can steer it without the pepper, so that an index may look it up. An address that
#          is not known is NULL, and a list allows none such.
# counted  The same row if the key may be used; else nothing is counted. The counts wait for no
#          disk: a crash of the database forgets less than a second of them.
# rate     The minute's window, restarted by the first request of a later minute. A request that
#          began just before the turn and came just after it counts into the newer one, and so
#          does one of a clock that is behind; a window further ahead than a minute is a mistake.
# day      The key's requests today.
# ALWAYS stands for that date, and DIGESTS for a placeholder a pepper. Of an array PostgreSQL cannot
# know the length beforehand: it would plan the prepared statement anew each time, and that takes
# longer than to run it.
# Times come back as Unix times: Django's reader of one timestamp takes longer than the whole row.
# (date_part, because EXTRACT goes by way of numeric.)
FIND_CALLER: Final = """
    WITH found AS (
        SELECT s.id AS secret_id, s.locator, s.pepper_id,
               date_part('epoch', s.last_used_at) AS last_used_at,
               date_part('epoch', LEAST(k.expires_at, s.expires_at)) AS expires_at,
               k.revoked_at IS NOT NULL AS is_revoked,
               COALESCE(k.expires_at <= %(now)s, FALSE) AS key_is_expired,
               s.ended_at IS NOT NULL OR COALESCE(s.expires_at <= %(now)s, FALSE)
                   AS secret_is_over,
               o.suspended_at IS NOT NULL AS is_suspended,
               k.allowed_ips IS NULL
                   OR COALESCE(%(address)s::inet <<= ANY (k.allowed_ips::inet[]), FALSE)
                   AS is_address_allowed,
               k.id AS key_id, k.name AS key_name, k.scopes, k.livemode, k.max_tests_per_month,
               o.id AS organization_id, o.name AS organization_name, p.slug AS plan,
               COALESCE(o.requests_per_minute, p.requests_per_minute) AS requests_per_minute,
               COALESCE(o.tests_limit, p.tests_limit) AS tests_limit, p.tests_renew,
               COALESCE(o.domains_limit, p.domains_limit) AS domains_limit,
               tests.used AS tests_used, domains.used AS domains_used
          FROM apikeys_keysecret s
          JOIN apikeys_apikey k ON k.id = s.api_key_id
          JOIN accounts_organization o ON o.id = k.organization_id
          JOIN accounts_plan p ON p.slug = o.plan_id
          LEFT JOIN accounts_usage tests
            ON tests.organization_id = o.id AND tests.livemode = k.livemode
           AND tests.meter = 'tests'
           AND tests.period_start = CASE
               WHEN p.tests_renew THEN date_trunc('month', %(now)s AT TIME ZONE 'UTC')::date
               ELSE ALWAYS END
          LEFT JOIN accounts_usage domains
            ON domains.organization_id = o.id AND domains.livemode = k.livemode
           AND domains.meter = 'domains' AND domains.period_start = ALWAYS
         WHERE s.digest IN (DIGESTS)
    ), counted AS (
        SELECT key_id, organization_id, livemode, requests_per_minute,
               set_config('synchronous_commit', 'off', TRUE)
          FROM found
         WHERE is_address_allowed
           AND NOT (is_revoked OR key_is_expired OR secret_is_over OR is_suspended)
    ), rate AS (
        INSERT INTO accounts_ratewindow AS w (organization_id, livemode, started_at, requests)
        SELECT organization_id, livemode, date_trunc('minute', %(now)s), 1
          FROM counted
         WHERE requests_per_minute IS NOT NULL
            ON CONFLICT (organization_id, livemode) DO UPDATE
           SET started_at = CASE
                   WHEN w.started_at BETWEEN EXCLUDED.started_at AND %(now)s + interval '1 minute'
                   THEN w.started_at ELSE EXCLUDED.started_at END,
               requests = CASE
                   WHEN w.started_at BETWEEN EXCLUDED.started_at AND %(now)s + interval '1 minute'
                   THEN w.requests + 1 ELSE 1 END
     RETURNING started_at, requests
    ), day AS (
        INSERT INTO apikeys_keyday AS d (api_key_id, day, requests, limited)
        SELECT key_id, (%(now)s AT TIME ZONE 'UTC')::date, 1,
               CASE WHEN rate.requests > requests_per_minute THEN 1 ELSE 0 END
          FROM counted
          LEFT JOIN rate ON TRUE
            ON CONFLICT (api_key_id, day) DO UPDATE
           SET requests = d.requests + 1,
               limited = d.limited + EXCLUDED.limited
    )
    SELECT secret_id, locator, pepper_id, last_used_at, expires_at,
           is_revoked, key_is_expired, secret_is_over, is_suspended, is_address_allowed,
           key_id, key_name, scopes, livemode, max_tests_per_month,
           organization_id, organization_name, plan,
           requests_per_minute, tests_limit, tests_renew, domains_limit,
           COALESCE(tests_used, 0), COALESCE(domains_used, 0),
           date_part('epoch', rate.started_at), rate.requests
      FROM found
      LEFT JOIN rate ON TRUE
"""


def find_and_count(plaintext: str, *, now: datetime, address: str | None) -> Caller | None:
    """Find the key that a well-formed plaintext proves, in any state, and count the request if the
    key may be used. Return None for a plaintext that was never issued."""
    digests = verifying_digests(plaintext)
    by_name = {f"digest_{number}": digest for number, digest in enumerate(digests)}
    row = _fetch(statement_for(len(digests)), {**by_name, "now": now, "address": address})
    return Caller(*row) if row is not None else None


@cache
def statement_for(digests: int) -> str:
    """Return FIND_CALLER for this many digests, one as a rule."""
    places = ", ".join(f"%(digest_{number})s" for number in range(digests))
    return FIND_CALLER.replace("DIGESTS", places).replace("ALWAYS", f"DATE '{ALWAYS}'")


def _fetch(statement: str, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    """Run the statement; if the connection turns out to be lost, once more on a new one.

    Django's health check would ask before every request if the connection still lives, which is a
    round trip more. At worst, one request is counted twice.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    connection.health_check_done = True  # type: ignore[attr-defined]
    try:
        return _fetch_once(connection, statement, parameters)
    except (OperationalError, InterfaceError):
        never_connected = connection.connection is None
        if never_connected or connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return _fetch_once(connection, statement, parameters)


def _fetch_once(
    connection: BaseDatabaseWrapper, statement: str, parameters: dict[str, Any]
) -> tuple[Any, ...] | None:
    cursor = _cursor_of(connection)
    if connection.queries_logged:
        connection.make_debug_cursor(cursor).execute(statement, parameters)
    else:
        with connection.wrap_database_errors:
            cursor.execute(statement, parameters)
    row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def _cursor_of(connection: BaseDatabaseWrapper) -> Any:
    """Return the connection's one cursor for this statement.

    It remembers how each parameter is written and each column is read; a new cursor would look all
    of them up again.
    """
    connection.ensure_connection()
    cursor = getattr(connection, "caller_cursor", None)
    if cursor is None or cursor.closed or cursor.connection is not connection.connection:
        with connection.wrap_database_errors:
            cursor = connection.create_cursor()
        cursor.format = Format.BINARY  # Quicker to write and to read than text.
        connection.caller_cursor = cursor  # type: ignore[attr-defined]
    return cursor
