"""What a caller learns of itself: the auth context, and the use of its organization's plan.

`auth_context` is built by hand, because `GET /v1/auth/me` is asked on every call of the platform;
a test holds it to its serializer.
"""

from datetime import datetime
from typing import Any

from django.db.models import Sum
from rest_framework import serializers

from accounts.models.usage import month_of
from apikeys.api.answers import Answer, Count, IdField, Limit, ScopeList
from apikeys.api.serializers import SCOPES
from apikeys.authentication.caller import Caller
from apikeys.models import KeyDay
from web.input.fields import Constant, MomentField, StringListField


class TestsUsed(Answer):
    """Tests; `overage` is what is used beyond a limit that was lowered."""

    used = Count()
    limit = Limit()
    overage = Count()
    resets_at = MomentField(
        allow_null=True, help_text="When `used` begins anew. Null: never, as on the free plan."
    )


class DomainsUsed(Answer):
    """Domains that stand now."""

    used = Count()
    limit = Limit()


class ApiCalls(Answer):
    """Requests of all the organization's keys of this mode."""

    total = Count()
    rate_limited = Count()


class Usage(Answer):
    """An organization's use in one mode, in the current calendar month in UTC."""

    object = Constant("usage")
    period_start = MomentField()
    period_end = MomentField()
    tests = TestsUsed()
    domains = DomainsUsed()
    api_calls = ApiCalls()
    livemode = serializers.BooleanField()


def usage(caller: Caller, *, now: datetime) -> dict[str, Any]:
    """Return the current month of the caller's organization and mode; one query."""
    begins, ends = month_of(now)
    calls = KeyDay.objects.filter(
        api_key__organization_id=caller.organization_id,
        api_key__livemode=caller.livemode,
        day__gte=begins.date(),
        day__lt=ends.date(),
    ).aggregate(total=Sum("requests", default=0), rate_limited=Sum("limited", default=0))
    tests_limit = caller.tests_limit if caller.livemode else None
    tests = caller.tests_used
    month = {
        "period_start": begins,
        "period_end": ends,
        "tests": {
            "used": tests,
            "limit": tests_limit,
            "overage": max(0, tests - tests_limit) if tests_limit is not None else 0,
            "resets_at": ends if caller.tests_renew else None,
        },
        "domains": {
            "used": caller.domains_used,
            "limit": caller.domains_limit if caller.livemode else None,
        },
        "api_calls": calls,
        "livemode": caller.livemode,
    }
    return Usage(month).data


class CallerOrganization(Answer):
    """The organization a key belongs to."""

    id = IdField("org")
    name = serializers.CharField()
    plan = serializers.CharField()


class CallerUsage(Answer):
    """What the organization used in the key's mode; a limit of null is no limit."""

    tests_this_month = Count(help_text="In this calendar month, UTC; on the free plan, ever.")
    tests_limit = Limit()
    domains = Count()
    domains_limit = Limit()


class AuthContext(Answer):
    """Who is calling and what it may do."""

    key_id = IdField("key")
    key_name = serializers.CharField()
    scopes = StringListField(schema=SCOPES)
    organization = CallerOrganization()
    usage = CallerUsage()
    livemode = serializers.BooleanField()
    allowed = serializers.BooleanField(
        required=False, help_text="If `require` is given: true if the key holds all of it."
    )
    missing = ScopeList(
        required=False, help_text="If `require` is given: those scopes of it that the key lacks."
    )


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
