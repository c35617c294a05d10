"""The last day on which a key exercised a scope: one small write a key, scope and day."""

from collections.abc import Collection
from datetime import date
from functools import partial
from typing import Final

from django.utils import timezone

from apikeys.callers import Caller
from apikeys.models.key_usage import ScopeGrant
from reachscore.api.after_success import after_success

# What this process has noted today, so that a second write is not even tried.
MOST_NOTED: Final = 100_000
_noted: set[tuple[str, str, date]] = set()


def exercises(caller: Caller, scopes: Collection[str]) -> None:
    """Say that the request at hand exercises these scopes; it counts if the request succeeds."""
    today = timezone.now().date()
    new = [scope for scope in scopes if (caller.key_id, scope, today) not in _noted]
    if new:
        after_success(partial(_note, caller.key_id, new, today))


def _note(key_id: str, scopes: Collection[str], today: date) -> None:
    ScopeGrant.exercise(key_id, scopes, day=today)
    if len(_noted) > MOST_NOTED:
        _noted.clear()
    _noted.update((key_id, scope, today) for scope in scopes)
