"""The states of a key as all pages show them, and the filters of the list of keys."""

from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models.plan import PLANS
from apikeys.api.querysets import filtered, unused_for
from apikeys.models import ApiKey, KeySecret, KeyStatus
from apikeys.scopes import ALL_SCOPES
from staff.kit.lists import ChoiceFilter, ColumnFilter, badge, moment

Keys = QuerySet[ApiKey]

EXPIRING_DAYS: Final = 30
WEEK: Final = timedelta(days=7)
FIRST_USE_WITHIN: Final = timedelta(days=30)


def refused_as(api_key: ApiKey) -> str:
    """Return the state in which every request with the key is refused, or "" if none is."""
    if not api_key.is_active:
        return api_key.status.value
    return "suspended" if api_key.organization.suspended_at else ""


def badges_of(api_key: Any) -> SafeString:
    """Return the badges of a `presentable` key. It may be expiring and rotating at once."""
    if refused := refused_as(api_key):
        return badge(refused)
    found = []
    if api_key.expires_at and api_key.expires_at <= timezone.now() + timedelta(EXPIRING_DAYS):
        found.append("expiring")
    if any(secret.expires_at and secret.is_live for secret in api_key.unended_secrets):
        found.append("rotating")
    return format_html_join(" ", "{}", ((badge(state),) for state in found or ["active"]))


def badge_of(secret: KeySecret) -> SafeString:
    """Return the badge of a secret. It says refused if the key is."""
    ended = secret.ended_at or (None if secret.is_live else secret.expires_at)
    if ended:
        return format_html("ended {}", moment(ended))
    refused = refused_as(secret.api_key)
    usual = ("rotating", "rotated out") if secret.expires_at else ("active", "newest")
    state = badge(refused) if refused else badge(*usual)
    if secret.expires_at and secret.api_key.is_active:
        return format_html("{} ends {}", state, moment(secret.ends_at))
    return state


def active(keys: Keys) -> Keys:
    """Return the keys that are not revoked, expired or suspended with their organization."""
    return keys.filter(KeyStatus.ACTIVE.condition, organization__suspended_at=None)


def never_used(keys: Keys) -> Keys:
    old = active(keys).filter(created_at__lte=timezone.now() - FIRST_USE_WITHIN)
    return old.exclude(secrets__last_used_at__isnull=False)


def rotating(keys: Keys) -> Keys:
    secrets = KeySecret.objects.filter(api_key=OuterRef("pk"), ended_at=None)
    return active(keys).filter(Exists(secrets.filter(expires_at__gt=timezone.now())))


class StatusFilter(ChoiceFilter):
    title = parameter_name = "status"
    narrowed = {
        "active": active,
        "expiring": lambda keys: filtered(active(keys), {"expires_within_days": EXPIRING_DAYS}),
        "rotating": rotating,
        "suspended": lambda keys: keys.filter(
            KeyStatus.ACTIVE.condition, organization__suspended_at__isnull=False
        ),
        "expired": partial(filtered, query={"status": KeyStatus.EXPIRED}),
        "revoked": partial(filtered, query={"status": KeyStatus.REVOKED}),
        "revoked this week": lambda keys: keys.filter(revoked_at__gt=timezone.now() - WEEK),
    }


class ModeFilter(ColumnFilter):
    title = "mode"
    parameter_name = column = "livemode__exact"
    lookups = staticmethod(lambda *_: [("1", "live"), ("0", "test")])


class UnusedFilter(ChoiceFilter):
    title = parameter_name = "unused"
    narrowed = {
        "30 days": lambda keys: unused_for(keys, timedelta(days=30)),
        "90 days": lambda keys: unused_for(active(keys), timedelta(days=90)),
        "never used": never_used,
    }


class ScopeFilter(ChoiceFilter):
    title = parameter_name = "scope"
    narrowed = {
        "more than used": lambda keys: filtered(active(keys), {"over_privileged": True}),
        **{scope: partial(filtered, query={"scope": scope}) for scope in ALL_SCOPES},
    }


class PlanFilter(ColumnFilter):
    title = parameter_name = "plan"
    column = "organization__plan"
    # Only migrations create plans, so no query is needed.
    lookups = staticmethod(lambda *_: [(plan["slug"], plan["name"]) for plan in PLANS])


KEY_FILTERS: Final = (StatusFilter, ModeFilter, UnusedFilter, ScopeFilter, PlanFilter)
