"""What the code relies on in each session of the database, whatever the role and the server say."""

from collections.abc import Mapping
from typing import Final

# Sent as start-up options, which PgBouncer drops: deploy/roles.sql says the same of the role, and
# /readyz warns of what differs.
SESSION: Final = {
    "default_transaction_isolation": "read committed",
    "DateStyle": "ISO, MDY",  # The only one whose times psycopg reads.
    "IntervalStyle": "postgres",  # The same.
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "array_nulls": "on",  # Django inserts many rows as arrays of their columns.
    "extra_float_digits": "1",  # Fewer would round Unix times.
    "synchronous_commit": "on",  # Else a commit waits for no replica; statistics turn it off.
    "client_min_messages": "notice",  # The warning of a cancelled commit is one to be heard.
}
# What one request may wait for a lock, and for a statement; reachscore.wsgi adds it.
WEB: Final = {"lock_timeout": "2s", "statement_timeout": "5s"}


def as_options(values: Mapping[str, str]) -> str:
    """Return libpq's `options` that give a session these settings."""
    escaped = {name: value.replace(" ", r"\ ") for name, value in values.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())
