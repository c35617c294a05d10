"""How the service reaches PostgreSQL."""

from typing import Final

from django.db.models import Func, TextField, Value
from django.db.models.lookups import Exact

_NOT_SYNCHRONOUS: Final = (Value("synchronous_commit"), Value("off"), Value(value=True))

# A filter that is true, for statistics: the commit then waits for no disk and no replica.
WITHOUT_WAITING: Final["Exact[str]"] = Exact(
    Func(*_NOT_SYNCHRONOUS, function="set_config", output_field=TextField()), "off"
)
