"""May the caller do this: what a view asks of the key.

A view names who may call it; the default in settings, `Closed`, lets nobody in.
"""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apikeys.callers import caller_of
from apikeys.exceptions import InsufficientScope, ManagingTakesAllScopes


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


class ManagesKeys(BasePermission):
    """Callers whose key is unrestricted. The verb asks again, under its lock."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises ManagingTakesAllScopes."""
        caller = caller_of(request)
        if not caller.is_unrestricted:
            raise ManagingTakesAllScopes(granted=caller.scopes)
        return True


class ManagesKeysOrItself(ManagesKeys):
    """Unrestricted keys, and every key at its own id: decided before any key is looked up."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises ManagingTakesAllScopes."""
        is_itself = view.kwargs["key_id"] == caller_of(request).key_id
        return is_itself or super().has_permission(request, view)
