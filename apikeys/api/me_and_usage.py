"""What a caller learns of itself: `GET /v1/auth/me`, and `GET /v1/usage` of its organization.

The first is built by hand, because it is asked on every call of the platform; a test holds it to
its serializer.
"""

from django.db.models import Sum
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models.plan import PLANS
from accounts.models.usage import month_of
from apikeys.api.answers import Answer, Count, IdField, Limit, ScopeList
from apikeys.api.documentation import endpoint
from apikeys.api.serializers import SCOPES, AuthContextQuery
from apikeys.authentication.caller import caller_of
from apikeys.models import KeyDay
from apikeys.permissions import AnyCaller, requires
from apikeys.scopes import Scope
from web.input.fields import Constant, MomentField, StringListField
from web.output.openapi import KnownValues
from web.output.views import ApiView


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


class PlanUsage(Answer):
    """An organization's use in one mode, in the current calendar month in UTC."""

    object = Constant("usage")
    period_start = MomentField()
    period_end = MomentField()
    tests = TestsUsed()
    domains = DomainsUsed()
    api_calls = ApiCalls()
    livemode = serializers.BooleanField()


class CallerOrganization(Answer):
    """The organization a key belongs to."""

    id = IdField("org")
    name = serializers.CharField()
    plan = KnownValues([plan["slug"] for plan in PLANS])


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


class AuthContextView(ApiView):
    permission_classes = [AnyCaller]
    queries = {"get": AuthContextQuery}

    @endpoint(
        "get_auth_context", "Who is calling", AuthContext, AuthContextQuery, tag="Authentication"
    )
    def get(self, request: Request) -> Response:
        """Say whose key this is, what it may do and how much of the plan is used in the key's mode.
        Takes any key that works, with any scopes.
        """
        caller = caller_of(request)
        answer = caller.auth_context()
        if "require" in self.query:
            missing = [scope for scope in self.query["require"] if scope not in caller.scopes]
            answer |= {"allowed": not missing, "missing": missing}
        return Response(answer)


class UsageView(ApiView):
    permission_classes = [requires(read=Scope.BILLING_MANAGE)]

    @endpoint(
        "get_usage",
        "Show what the plan is used for",
        PlanUsage,
        tag="Usage",
        errors=("insufficient_scope",),
    )
    def get(self, request: Request) -> Response:
        """Show the current calendar month in UTC of your organization, in the calling key's mode.
        Takes the scope `billing:manage`.
        """
        caller = caller_of(request)
        begins, ends = month_of(timezone.now())
        calls = KeyDay.objects.filter(
            api_key__organization_id=caller.organization_id,
            api_key__livemode=caller.livemode,
            day__gte=begins.date(),
            day__lt=ends.date(),
        ).aggregate(total=Sum("requests", default=0), rate_limited=Sum("limited", default=0))
        used = caller.auth_context()["usage"]
        tests, limit = used["tests_this_month"], used["tests_limit"]
        month = {
            "period_start": begins,
            "period_end": ends,
            "tests": {
                "used": tests,
                "limit": limit,
                "overage": 0 if limit is None else max(0, tests - limit),
                "resets_at": ends if caller.tests_renew else None,
            },
            "domains": {"used": used["domains"], "limit": used["domains_limit"]},
            "api_calls": calls,
            "livemode": caller.livemode,
        }
        return Response(PlanUsage(month).data)
