"""Querysets of keys: whose they are, which are listed, and what is shown of them."""

from datetime import timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Prefetch, QuerySet, Subquery
from django.utils import timezone

from apikeys.authentication.caller import Caller
from apikeys.models import ApiKey, KeySecret, KeyStatus, ScopeGrant
from apikeys.models.counters import UNUSED_AFTER
from web.errors.refusals import ResourceNotFound
from web.input.parameters import ID_SHAPE


def keys_of(caller: Caller) -> QuerySet[ApiKey]:
    """Return the keys that exist for a caller: those of its organization and mode."""
    return ApiKey.objects.filter(**caller.ownership)


def find_key(keys: QuerySet[ApiKey], key_id: str) -> ApiKey:
    """Return the one of `keys` with this id. Raise ResourceNotFound if there is none."""
    found = keys.filter(pk=key_id).first() if ID_SHAPE.fullmatch(key_id) else None
    if found is None:
        raise ResourceNotFound("Your organization has no such key in this mode.")
    return found


def visible_keys(caller: Caller) -> QuerySet[ApiKey]:
    """Return the keys that a caller may list: a restricted key sees itself only."""
    keys = keys_of(caller)
    return keys if caller.is_unrestricted else keys.filter(pk=caller.key_id)


def filtered(keys: QuerySet[ApiKey], query: dict[str, Any]) -> QuerySet[ApiKey]:
    """Return those of `keys` that pass every filter given; the names are those of KeyListQuery."""
    if "status" in query:
        keys = keys.filter(KeyStatus(query["status"]).condition)
    if "scope" in query:
        keys = keys.filter(scopes__contains=[query["scope"]])
    if "unused_for_days" in query:
        keys = unused_for(keys, timedelta(days=query["unused_for_days"]))
    if "expires_within_days" in query:
        now = timezone.now()
        keys = keys.filter(
            expires_at__gt=now, expires_at__lte=now + timedelta(days=query["expires_within_days"])
        )
    if "over_privileged" in query:
        idle = Exists(ScopeGrant.objects.filter(ScopeGrant.long_unused(), api_key=OuterRef("pk")))
        keys = keys.filter(idle if query["over_privileged"] else ~idle)
        if query["over_privileged"]:  # No grant is older than its key: pass over the newest.
            keys = keys.filter(created_at__lte=timezone.now() - UNUSED_AFTER)
    if "name" in query:
        keys = keys.filter(name__icontains=query["name"])
    return keys


def unused_for(keys: QuerySet[ApiKey], time: timedelta) -> QuerySet[ApiKey]:
    """Return the keys that are at least this old and that nobody has used within this time."""
    since = timezone.now() - time
    used = KeySecret.objects.filter(api_key=OuterRef("pk"), last_used_at__gt=since)
    return keys.filter(~Exists(used), created_at__lte=since)


def presentable(keys: QuerySet[ApiKey]) -> QuerySet[Any]:
    """Return these keys with what is shown of secrets and scopes, in three queries."""
    secrets = KeySecret.objects.filter(api_key=OuterRef("pk"))
    used = secrets.exclude(last_used_at=None).order_by("-last_used_at")
    # A cascade can end the newest and let the one before it live on.
    newest = secrets.order_by(F("ended_at").desc(nulls_first=True), "-id")
    return keys.annotate(
        last_used_at=Subquery(used.values("last_used_at")[:1]),
        last_four=Subquery(newest.values("last_four")[:1]),
    ).prefetch_related(
        Prefetch("secrets", KeySecret.objects.filter(ended_at=None), to_attr="unended_secrets"),
        Prefetch("grants", to_attr="all_grants"),
    )
