"""What state a key is in, as staff want to see it, and the filters beside the list of keys."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from accounts.plans import PLANS
from apikeys.api.filters import filtered, unused_for
from apikeys.models import ApiKey, KeySecret, KeyStatus
from apikeys.scopes import ALL_SCOPES
from staff.kit.lists import ChoiceFilter, ColumnFilter

Keys = QuerySet[ApiKey]

EXPIRING_WITHIN: Final = timedelta(days=30)
WEEK: Final = timedelta(days=7)
# The rules of attention: how long a live key may lie unused, and how long wait for its first use.
LYING_IDLE: Final = timedelta(days=90)
FIRST_USE_WITHIN: Final = timedelta(days=30)


def states_of(api_key: ApiKey, unended_secrets: list[KeySecret]) -> list[str]:
    """Return the words on a key's badges: finer than `KeyStatus`, a key may expire and rotate.

    `unended_secrets` are those of its secrets that no verb has ended.
    """
    if not api_key.is_active:
        return [api_key.status.value]
    found = []
    if api_key.expires_at and api_key.expires_at <= timezone.now() + EXPIRING_WITHIN:
        found.append("expiring")
    if any(secret.expires_at and secret.is_live for secret in unended_secrets):
        found.append("rotating")
    return found or ["active"]


def active(keys: Keys) -> Keys:
    """Return the keys that are neither revoked nor expired."""
    return keys.filter(KeyStatus.ACTIVE.condition)


def never_used(keys: Keys) -> Keys:
    """Return the active keys that are FIRST_USE_WITHIN old and that nobody has ever used."""
    old = active(keys).filter(created_at__lte=timezone.now() - FIRST_USE_WITHIN)
    return old.exclude(secrets__last_used_at__isnull=False)


def rotating(keys: Keys) -> Keys:
    """Return the active keys with an old secret that still works."""
    secrets = KeySecret.objects.filter(api_key=OuterRef("pk"), ended_at=None)
    return active(keys).filter(Exists(secrets.filter(expires_at__gt=timezone.now())))


def passing(**query: Any) -> Callable[[Keys], Keys]:
    """Return what keeps the keys that pass this filter of the API."""
    return lambda keys: filtered(keys, query)


class StatusFilter(ChoiceFilter):
    title = parameter_name = "status"
    narrowed = {
        "active": active,
        "expiring": lambda keys: active(keys).filter(
            expires_at__lte=timezone.now() + EXPIRING_WITHIN
        ),
        "rotating": rotating,
        "expired": passing(status=KeyStatus.EXPIRED),
        "revoked": passing(status=KeyStatus.REVOKED),
        "revoked this week": lambda keys: keys.filter(revoked_at__gt=timezone.now() - WEEK),
    }


class ModeFilter(ChoiceFilter):
    title = "mode"
    parameter_name = "livemode__exact"
    labels = {"1": "live", "0": "test"}
    narrowed = {
        "1": lambda keys: keys.filter(livemode=True),
        "0": lambda keys: keys.filter(livemode=False),
    }


class UnusedFilter(ChoiceFilter):
    title = parameter_name = "unused"
    narrowed = {
        "30 days": lambda keys: unused_for(keys, timedelta(days=30)),
        "90 days": lambda keys: unused_for(active(keys), LYING_IDLE),
        "never used": never_used,
    }


class ScopeFilter(ChoiceFilter):
    title = parameter_name = "scope"
    narrowed = {
        "more than used": lambda keys: filtered(active(keys), {"over_privileged": True}),
        **{scope: passing(scope=scope) for scope in ALL_SCOPES},
    }


class PlanFilter(ColumnFilter):
    title = parameter_name = "plan"
    column = "organization__plan"

    @staticmethod
    def values() -> list[tuple[str, str]]:
        # Only migrations make plans, so the list need not ask for them each time.
        return [(plan["slug"], plan["name"]) for plan in PLANS]
