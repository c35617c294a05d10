"""May the caller do this: what a view asks of the key.

A view names who may call it; the default in settings, `Closed`, lets nobody in.
"""

from collections.abc import Collection
from datetime import date
from functools import partial
from typing import Any, Final

from django.utils import timezone
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apikeys.authentication.caller import Caller, caller_of
from apikeys.models.counters import ScopeGrant
from apikeys.refusals import InsufficientScope, ManagingTakesAllScopes
from apikeys.scopes import ALL_SCOPES, Scope
from reachscore.api.answering import after_success

# Which scopes this process has noted today as exercised: one small write a key, scope and day.
MOST_NOTED: Final = 100_000
_noted: set[tuple[str, str, date]] = set()


class Closed(BasePermission):
    """Nobody: so that a view that forgets to say who may is shut."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises InsufficientScope."""
        granted = caller_of(request).scopes if request.user else ()
        raise InsufficientScope(required=(), granted=granted)


class AnyCaller(BasePermission):
    """Every verified caller, whatever its scopes; shut where a view has no authentication."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.successful_authenticator is not None


def requires(*, read: Scope | None = None, write: Scope | None = None) -> type[BasePermission]:
    """Make a permission that wants one scope to read and one to write; a side left out is shut."""

    class RequiresScope(BasePermission):
        def has_permission(self, request: Request, view: Any) -> bool:
            """Raises InsufficientScope."""
            caller = caller_of(request)
            scope = read if request.method in SAFE_METHODS else write
            if scope is None:
                raise InsufficientScope(required=(), granted=caller.scopes)
            if scope not in caller.scopes:
                raise InsufficientScope(
                    f"This takes a key with the scope {scope}.",
                    required=[scope.value],
                    granted=caller.scopes,
                )
            _exercise(caller, [scope.value])
            return True

    return RequiresScope


class ManagesKeys(BasePermission):
    """Callers whose key is unrestricted. The verb asks again, under its lock."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises ManagingTakesAllScopes."""
        caller = caller_of(request)
        if not caller.is_unrestricted:
            raise ManagingTakesAllScopes(granted=caller.scopes)
        _exercise(caller, ALL_SCOPES)
        return True


class ManagesKeysOrSeesItself(ManagesKeys):
    """Every caller: the view shows a restricted key nothing but itself."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return not caller_of(request).is_unrestricted or super().has_permission(request, view)


class ManagesKeysOrItself(ManagesKeys):
    """Unrestricted keys, and every key at its own id: decided before any key is looked up."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises ManagingTakesAllScopes."""
        is_itself = view.kwargs["key_id"] == caller_of(request).key_id
        return is_itself or super().has_permission(request, view)


def _exercise(caller: Caller, scopes: Collection[str]) -> None:
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
