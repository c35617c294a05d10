"""What the endpoints answer with: plain dictionaries, in the contract's order.

No nested serializers: they would cost more than all the rest of a request.
"""

from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import F, OuterRef, Prefetch, QuerySet, Subquery, Sum

from accounts.models import AuditEvent
from accounts.models.audit import ActorType
from accounts.models.usage import month_of
from apikeys.callers import Caller
from apikeys.models import ApiKey, KeyDay, KeySecret
from reachscore.api.moments import format_moment


def presentable(keys: QuerySet[ApiKey]) -> QuerySet[Any]:
    """Return these keys with what `key_object` shows of secrets and scopes, in three queries."""
    secrets = KeySecret.objects.filter(api_key=OuterRef("pk"))
    used = secrets.exclude(last_used_at=None).order_by("-last_used_at")
    # A cascade can end the newest and let the one before it live on.
    newest = secrets.order_by(F("ended_at").desc(nulls_first=True), "-id")
    return keys.annotate(
        last_used_at=Subquery(used.values("last_used_at")[:1]),
        last_four=Subquery(newest.values("last_four")[:1]),
    ).prefetch_related(
        Prefetch("secrets", KeySecret.objects.filter(ended_at=None), to_attr="unended_secrets"),
        "grants",
    )


def key_object(api_key: Any) -> dict[str, object]:
    """Build a Key of one of the `presentable` keys."""
    grants = list(api_key.grants.all())
    last_days = {grant.scope: grant.last_exercised_on for grant in grants}
    unused = {grant.scope for grant in grants if grant.is_long_unused}
    return {
        "id": api_key.id,
        "object": "api_key",
        "name": api_key.name,
        "key_hint": f"...{api_key.last_four}",
        "scopes": api_key.scopes,
        "created_at": format_moment(api_key.created_at),
        "expires_at": _moment(api_key.expires_at),
        "livemode": api_key.livemode,
        "status": api_key.status,
        "last_used_at": _moment(api_key.last_used_at),
        "revoked_at": _moment(api_key.revoked_at),
        "revoked_reason": api_key.revoked_reason
        if api_key.revoked_reason and _is_customers(api_key.revoked_by)
        else None,
        "created_by": _public_actor(api_key.created_by),
        "allowed_ips": api_key.allowed_ips,
        "secrets": [
            {
                "locator": secret.locator,
                "key_hint": secret.key_hint,
                "created_at": format_moment(secret.created_at),
                "last_used_at": _moment(secret.last_used_at),
                "expires_at": _moment(
                    secret.expires_at
                    and min(secret.expires_at, api_key.expires_at or secret.expires_at)
                ),
            }
            for secret in api_key.unended_secrets
            if secret.is_live
        ],
        "max_tests_per_month": api_key.max_tests_per_month,
        "scope_usage": {scope: last_days.get(scope) for scope in api_key.scopes},
        "unused_scopes": [scope for scope in api_key.scopes if scope in unused],
    }


def key_usage(api_key: ApiKey, *, days: int, today: date) -> dict[str, object]:
    """Build a KeyUsage of the last `days` days, today included; one query."""
    dates = [today - timedelta(days=back) for back in reversed(range(days))]
    rows = {row.day: row for row in api_key.days.filter(day__gte=dates[0], day__lte=today)}
    return {
        "object": "key_usage",
        "key_id": api_key.id,
        "days": [
            {
                "date": day,
                "requests": rows[day].requests if day in rows else 0,
                "limited": rows[day].limited if day in rows else 0,
            }
            for day in dates
        ],
        "livemode": api_key.livemode,
    }


def usage(caller: Caller, *, now: datetime) -> dict[str, object]:
    """Build a Usage; one query."""
    begins, ends = month_of(now)
    calls = KeyDay.objects.filter(
        api_key__organization_id=caller.organization_id,
        api_key__livemode=caller.livemode,
        day__gte=begins.date(),
        day__lt=ends.date(),
    ).aggregate(total=Sum("requests", default=0), rate_limited=Sum("limited", default=0))
    tests_limit = caller.tests_limit if caller.livemode else None
    tests = caller.tests_used
    return {
        "object": "usage",
        "period_start": format_moment(begins),
        "period_end": format_moment(ends),
        "tests": {
            "used": tests,
            "limit": tests_limit,
            "overage": max(0, tests - tests_limit) if tests_limit is not None else 0,
            "resets_at": format_moment(ends) if caller.tests_renew else None,
        },
        "domains": {
            "used": caller.domains_used,
            "limit": caller.domains_limit if caller.livemode else None,
        },
        "api_calls": calls,
        "livemode": caller.livemode,
    }


def issued_key(api_key: Any, plaintext: str) -> dict[str, object]:
    """Build an IssuedKey: `key` stands where the contract has it, after the name."""
    fields = key_object(api_key)
    first = {name: fields[name] for name in ("id", "object", "name")}
    # Another rotation may have been quicker than the reading of the row.
    return {**first, "key": plaintext, **fields, "key_hint": f"...{plaintext[-4:]}"}


def event_object(event: AuditEvent) -> dict[str, object]:
    """Build an Event. Of what was not done by a key, only what was done is the customer's."""
    is_customers = event.actor_type == ActorType.KEY
    actor = {"type": event.actor_type}
    if is_customers:
        actor |= {"id": event.actor_id, "label": event.actor_label}
    return {
        "id": event.id,
        "object": "event",
        "action": event.action,
        "actor": actor,
        "target": {"type": event.target_type, "id": event.target_id},
        "reason": (event.reason or None) if is_customers else None,
        "changes": event.changes,
        "ip": event.ip if is_customers else None,
        "user_agent": (event.user_agent or None) if is_customers else None,
        "request_id": event.request_id or None,
        "created_at": format_moment(event.created_at),
    }


def auth_context(caller: Caller) -> dict[str, object]:
    """Build an AuthContext. The sandbox is never limited, so a test key sees no limits."""
    return {
        "key_id": caller.key_id,
        "key_name": caller.key_name,
        "scopes": caller.scopes,
        "organization": {
            "id": caller.organization_id,
            "name": caller.organization_name,
            "plan": caller.plan,
        },
        "usage": {
            "tests_this_month": caller.tests_used,
            "tests_limit": caller.tests_limit if caller.livemode else None,
            "domains": caller.domains_used,
            "domains_limit": caller.domains_limit if caller.livemode else None,
        },
        "livemode": caller.livemode,
    }


def _moment(moment: datetime | None) -> str | None:
    return format_moment(moment) if moment else None


def _is_customers(actor: str) -> bool:
    """Tell whether an actor, as `Actor.__str__` names it, is a key of the customer's."""
    return actor.startswith(f"{ActorType.KEY}:")


def _public_actor(actor: str) -> str:
    """Return `key:key_…`, or the bare type of any other actor: staff has no name here."""
    return actor if _is_customers(actor) else actor.partition(":")[0]
