"""The connection to PostgreSQL: Django backend, session settings, prepared statements."""

from typing import Any, Final

from django.db import connection
from django.db.models import Func, TextField, Value
from django.db.models.lookups import Exact

_NOT_SYNCHRONOUS: Final = (Value("synchronous_commit"), Value("off"), Value(value=True))

# A filter that is always true and sets synchronous_commit = off for this transaction. For
# statistics: their commit then waits neither for the disk nor for a replica.
WITHOUT_WAITING: Final["Exact[str]"] = Exact(
    Func(*_NOT_SYNCHRONOUS, function="set_config", output_field=TextField()), "off"
)


def fetch_all(statement: str, parameters: Any = None) -> list[Any]:
    """Run a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
