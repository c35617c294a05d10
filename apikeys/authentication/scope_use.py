"""The last day on which a key exercised each of its scopes."""

from collections.abc import Collection
from datetime import date, timedelta
from functools import partial
from typing import Final

from django.utils import timezone

from apikeys.models import ScopeGrant
from web.context import current
from web.database import WITHOUT_WAITING

# Which scopes this process has noted today as exercised: one small write a key, scope and day.
MOST_NOTED: Final = 100_000
_noted: set[tuple[str, str, date]] = set()


def exercise(key_id: str, scopes: Collection[str]) -> None:
    """Say that the request at hand exercises these scopes; it counts if the request succeeds."""
    today = timezone.now().date()
    new = [scope for scope in scopes if (key_id, scope, today) not in _noted]
    if new:
        current().calls.append(partial(_note, key_id, new, today))


def _note(key_id: str, scopes: Collection[str], today: date) -> None:
    note_exercised(key_id, scopes, day=today)
    if len(_noted) > MOST_NOTED:
        _noted.clear()
    _noted.update((key_id, scope, today) for scope in scopes)


def note_exercised(key_id: str, scopes: Collection[str], *, day: date) -> None:
    """Store the day on which a key exercised these scopes; it goes back only from the future."""
    grants = ScopeGrant.objects.filter(WITHOUT_WAITING, api_key_id=key_id, scope__in=scopes)
    tomorrow = day + timedelta(days=1)  # By a clock that is a little ahead.
    grants.exclude(last_exercised_on__range=(day, tomorrow)).update(last_exercised_on=day)
