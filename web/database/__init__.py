"""The connection to PostgreSQL: Django backend, session settings, prepared statements."""

from typing import Final

from django.db.models import Func, TextField, Value
from django.db.models.lookups import Exact

_NOT_SYNCHRONOUS: Final = (Value("synchronous_commit"), Value("off"), Value(value=True))

# A filter that is always true and sets synchronous_commit = off for this transaction. For
# statistics: their commit then waits neither for the disk nor for a replica.
WITHOUT_WAITING: Final["Exact[str]"] = Exact(
    Func(*_NOT_SYNCHRONOUS, function="set_config", output_field=TextField()), "off"
)
