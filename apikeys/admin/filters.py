"""The filters beside the list of keys."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.plans import PLANS
from apikeys.admin.state import State
from apikeys.filters import filtered, unused_for
from apikeys.models import ApiKey, KeyStatus
from apikeys.scopes import ALL_SCOPES

Keys = QuerySet[ApiKey]

WEEK: Final = timedelta(days=7)
# The rules of attention: how long a live key may lie unused, and how long wait for its first use.
LYING_IDLE: Final = timedelta(days=90)
FIRST_USE_WITHIN: Final = timedelta(days=30)


class KeyFilter(admin.SimpleListFilter):
    """A filter over keys; a value it does not know filters nothing."""

    narrowed: dict[str, Callable[[Keys], Keys]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in self.narrowed]

    def queryset(self, request: HttpRequest, queryset: Keys) -> Keys:
        narrow = self.narrowed.get(self.value() or "")
        return narrow(queryset) if narrow else queryset


def never_used(keys: Keys) -> Keys:
    """Return the active keys that are FIRST_USE_WITHIN old and that nobody has ever used."""
    old = keys.filter(KeyStatus.ACTIVE.condition, created_at__lte=timezone.now() - FIRST_USE_WITHIN)
    return old.exclude(secrets__last_used_at__isnull=False)


def idle(keys: Keys) -> Keys:
    """Return the active keys that nobody has used for LYING_IDLE."""
    return unused_for(keys.filter(KeyStatus.ACTIVE.condition), LYING_IDLE)


def in_state(state: State, keys: Keys) -> Keys:
    """Return the keys in this state."""
    return keys.filter(state.condition)


def with_scope(scope: str, keys: Keys) -> Keys:
    """Return the keys that hold this scope."""
    return filtered(keys, {"scope": scope})


class StatusFilter(KeyFilter):
    title = "status"
    parameter_name = "status"
    narrowed = {
        **{state.value: partial(in_state, state) for state in State},
        "revoked this week": lambda keys: keys.filter(revoked_at__gt=timezone.now() - WEEK),
    }


class ModeFilter(KeyFilter):
    title = "mode"
    parameter_name = "livemode__exact"
    narrowed = {
        "1": lambda keys: keys.filter(livemode=True),
        "0": lambda keys: keys.filter(livemode=False),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "live"), ("0", "test")]


class UnusedFilter(KeyFilter):
    title = "unused"
    parameter_name = "unused"
    narrowed = {
        "30 days": lambda keys: unused_for(keys, timedelta(days=30)),
        "90 days": idle,
        "never used": never_used,
    }


class ScopeFilter(KeyFilter):
    title = "scope"
    parameter_name = "scope"
    narrowed = {
        "more than used": lambda keys: filtered(
            keys.filter(KeyStatus.ACTIVE.condition), {"over_privileged": True}
        ),
        **{scope: partial(with_scope, scope) for scope in ALL_SCOPES},
    }


class PlanFilter(admin.SimpleListFilter):
    title = "plan"
    parameter_name = "plan"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # Only migrations make plans, so the list need not ask for them each time.
        return [(str(plan["slug"]), str(plan["name"])) for plan in PLANS]

    def queryset(self, request: HttpRequest, queryset: Keys) -> Keys:
        return queryset.filter(organization__plan=self.value()) if self.value() else queryset
