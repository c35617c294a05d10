"""Session settings of the database that the code relies on."""

from collections.abc import Mapping
from typing import Final

# Sent as start-up options. PgBouncer drops those, so deploy/roles.sql sets the same on the role,
# and /readyz warns if a setting differs.
SESSION: Final = {
    "default_transaction_isolation": "read committed",
    "DateStyle": "ISO, MDY",  # The only style whose times psycopg can parse.
    "IntervalStyle": "postgres",  # The same for intervals.
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "array_nulls": "on",  # bulk_create sends columns as arrays.
    "extra_float_digits": "1",  # A lower value rounds Unix times.
    "synchronous_commit": "on",  # Wait for the replica; statistics turn it off.
    "client_min_messages": "notice",  # Needed for the warning of an unconfirmed commit.
}
# Time-outs for requests only; reachscore.wsgi adds them.
WEB: Final = {"lock_timeout": "2s", "statement_timeout": "5s"}


def as_options(values: Mapping[str, str]) -> str:
    """Return libpq's `options` string for these settings."""
    escaped = {name: value.replace(" ", r"\ ") for name, value in values.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())
