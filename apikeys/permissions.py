"""Permissions: what a view asks of the caller's key. The default in settings is `Closed`."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apikeys.authentication.caller import caller_of
from apikeys.authentication.scope_use import exercise
from apikeys.refusals import InsufficientScope, ManagingTakesAllScopes
from apikeys.scopes import ALL_SCOPES, Scope


class Closed(BasePermission):
    """Nobody. The default: a view that names no permission is shut."""

    def has_permission(self, request: Request, view: Any) -> bool:
        granted = caller_of(request).scopes if request.user else ()
        raise InsufficientScope(required=(), granted=granted)


class AnyCaller(BasePermission):
    """Every verified caller, with any scopes. Shut if the view has no authentication."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.successful_authenticator is not None


def requires(*, read: Scope | None = None, write: Scope | None = None) -> type[BasePermission]:
    """Make a permission that wants one scope to read and one to write; a side left out is shut."""

    class RequiresScope(BasePermission):
        def has_permission(self, request: Request, view: Any) -> bool:
            caller = caller_of(request)
            scope = read if request.method in SAFE_METHODS else write
            required = [scope.value] if scope else []
            if scope not in caller.scopes:
                message = f"This takes a key with the scope {scope}." if scope else ""
                raise InsufficientScope(message, required=required, granted=caller.scopes)
            exercise(caller.key_id, required)
            return True

    return RequiresScope


class ManagesKeys(BasePermission):
    """Callers whose key is unrestricted. The verb checks again, under its lock."""

    def has_permission(self, request: Request, view: Any) -> bool:
        caller = caller_of(request)
        if not caller.is_unrestricted:
            raise ManagingTakesAllScopes(granted=caller.scopes)
        exercise(caller.key_id, ALL_SCOPES)
        return True


class AnyKey(ManagesKeys):
    """Every caller; notes that an unrestricted one exercised its scopes.

    `api.querysets.visible_keys` leaves a restricted key only itself to list.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        return not caller_of(request).is_unrestricted or super().has_permission(request, view)


class ManagesKeysOrItself(ManagesKeys):
    """Unrestricted keys, and every key at its own id: decided before any key is looked up."""

    def has_permission(self, request: Request, view: Any) -> bool:
        is_itself = view.kwargs["key_id"] == caller_of(request).key_id
        return is_itself or super().has_permission(request, view)
