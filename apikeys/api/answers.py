"""What the endpoints answer with: serializers that build the answers and describe them.

`auth_context` alone is built by hand, because `GET /v1/auth/me` is asked on every call of the
platform; a test holds it to its serializer.
"""

from datetime import date, datetime
from typing import Any

from django.db.models import Sum
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.models.usage import month_of
from apikeys.api.serializers import NetworksField, ScopesField
from apikeys.authentication.caller import Caller
from apikeys.models import ApiKey, KeyDay, KeyStatus
from apikeys.scopes import ALL_SCOPES
from audit.actor import ActorType
from audit.models import AuditEvent
from web.input.fields import Constant, MomentField


class Computed(serializers.SerializerMethodField):
    """What `get_<name>` returns; described like the other fields, of which none is read-only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.read_only, self.required = False, True


class Text(serializers.CharField):
    """A text; null if it is empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_representation(self, value: str) -> Any:
        return value or None


def just_issued(api_key: Any) -> Any:
    """Return a key that was just issued with the same, in none: all of it is known."""
    api_key.last_used_at, api_key.all_grants = None, []
    api_key.unended_secrets = [api_key.issued_secret]
    return api_key


class Secret(serializers.Serializer[Any]):
    """A secret that was not ended, by its public parts; it works as long as its key is active."""

    locator = serializers.CharField(help_text="The eight characters after `rk_live_`.")
    key_hint = serializers.CharField()
    created_at = MomentField()
    last_used_at = MomentField(allow_null=True, help_text="To the minute.")
    expires_at = MomentField(
        source="ends_at",
        allow_null=True,
        help_text="When it is rotated out; null: as long as the key.",
    )


class Key(serializers.Serializer[Any]):
    """An API key."""

    # Of a key from `presentable` or `just_issued`.
    id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$")
    object = Constant("api_key")
    name = serializers.CharField()
    key_hint = Computed(help_text="`...` and the newest secret's last four characters.")
    scopes = ScopesField()
    created_at = MomentField()
    expires_at = MomentField(allow_null=True)
    livemode = serializers.BooleanField(help_text="False: a test key of the sandbox.")
    status = serializers.ChoiceField(list(KeyStatus.values))
    last_used_at = MomentField(
        allow_null=True, help_text="The latest use of any of its secrets, to the minute."
    )
    revoked_at = MomentField(allow_null=True)
    revoked_reason = Computed(help_text="As it was given over this API.")
    created_by = Computed(help_text="`key:key_…`, `staff`, `cli` or `system`.")
    allowed_ips = NetworksField(allow_null=True, help_text="Null: any address.")
    secrets = Computed(help_text="One, or two while the key is being rotated.")
    max_tests_per_month = serializers.IntegerField(
        min_value=0, allow_null=True, help_text="Its own share of the plan; null: all of it."
    )
    scope_usage = Computed(
        help_text="For each scope the last day, in UTC, on which it was exercised; null: never."
    )
    unused_scopes = Computed(
        help_text="Granted 30 or more days ago and never exercised since: take them away."
    )

    def get_key_hint(self, api_key: Any) -> str:
        return f"...{api_key.last_four}"

    def get_revoked_reason(self, api_key: ApiKey) -> str | None:
        return (api_key.revoked_reason or None) if _is_key(api_key.revoked_by) else None

    def get_created_by(self, api_key: ApiKey) -> str:
        """Return `key:key_…`, or the bare type of any other actor: staff has no name here."""
        by = api_key.created_by
        return by if _is_key(by) else by.partition(":")[0]

    @extend_schema_field(Secret(many=True))
    def get_secrets(self, api_key: Any) -> Any:
        live = [secret for secret in api_key.unended_secrets if secret.is_live]
        return Secret(live, many=True).data

    @extend_schema_field(serializers.DictField(child=serializers.DateField(allow_null=True)))
    def get_scope_usage(self, api_key: Any) -> dict[str, date | None]:
        last_days = {grant.scope: grant.last_exercised_on for grant in api_key.all_grants}
        return {scope: last_days.get(scope) for scope in api_key.scopes}

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(list(ALL_SCOPES))))
    def get_unused_scopes(self, api_key: Any) -> list[str]:
        unused = {grant.scope for grant in api_key.all_grants if grant.is_long_unused}
        return [scope for scope in api_key.scopes if scope in unused]


def _is_key(actor: str) -> bool:
    """Return True if an actor, as `Actor.__str__` names it, is a key of the customer's."""
    return actor.startswith(f"{ActorType.KEY}:")


class IssuedKey(Key):
    """An API key and the plaintext of its newest secret: the only answers that ever hold it."""

    key = Computed(help_text="The whole key. Shown here, once, and never again.")

    def __init__(self, api_key: Any = None, *, plaintext: str = "", **options: Any) -> None:
        super().__init__(api_key, **options)
        self._plaintext = plaintext

    def get_fields(self) -> dict[str, Any]:
        """Put `key` where the contract has it, after the name."""
        fields = super().get_fields()
        first = {name: fields[name] for name in ("id", "object", "name", "key")}
        return {**first, **fields}

    def get_key(self, api_key: ApiKey) -> str:
        return self._plaintext

    def get_key_hint(self, api_key: Any) -> str:
        """Return that of the plaintext: another rotation may have been quicker than the reading."""
        return f"...{self._plaintext[-4:]}"


class CascadeCounts(serializers.Serializer[Any]):
    """What a cascade did, besides revoking the key itself."""

    keys_revoked = serializers.IntegerField(min_value=0)
    secrets_ended = serializers.IntegerField(min_value=0)


class RevokedKey(Key):
    """An API key that was revoked."""

    cascade = CascadeCounts(required=False, help_text="Only where it was asked for.")


@extend_schema_serializer(many=False)  # Itself the list, where a view is called `list`.
class KeyList(serializers.Serializer[Any]):
    """A page of keys, newest first."""

    object = Constant("list")
    data = Key(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


class EventActor(serializers.Serializer[Any]):
    """Who did it. Of members of staff, commands and the service itself, the type alone."""

    # Events of an organization name no stranger: those are the service's own.
    type = serializers.ChoiceField(
        [c for c in ActorType.choices if c[0] != ActorType.STRANGER], source="actor_type"
    )
    id = serializers.CharField(required=False, source="actor_id")
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, source="actor_label", help_text="What the key was called then."
    )

    def to_representation(self, instance: AuditEvent) -> dict[str, Any]:
        is_key = instance.actor_type == ActorType.KEY
        return super().to_representation(instance) if is_key else {"type": instance.actor_type}


class EventTarget(serializers.Serializer[Any]):
    """What it was done to."""

    type = serializers.CharField(source="target_type")
    id = serializers.CharField(source="target_id")


class Event(serializers.Serializer[Any]):
    """One entry of the audit log."""

    id = serializers.RegexField(r"^evt_[0-9A-Za-z]{12,}$")
    object = Constant("event")
    action = serializers.CharField(help_text="Such as `api_key.rotated`.")
    actor = EventActor(source="*")
    target = EventTarget(source="*")
    reason = Text()
    changes = serializers.DictField(
        child=serializers.ListField(min_length=2, max_length=2), help_text="field: [before, after]"
    )
    ip = serializers.IPAddressField(allow_null=True)
    user_agent = Text()
    request_id = Text()
    created_at = MomentField()

    def to_representation(self, instance: AuditEvent) -> dict[str, Any]:
        """Leave out why and from where, unless a key of the customer's did it."""
        answer = super().to_representation(instance)
        if instance.actor_type != ActorType.KEY:
            answer |= dict.fromkeys(("reason", "ip", "user_agent"))
        return answer


class EventList(serializers.Serializer[Any]):
    """A page of events, newest first."""

    object = Constant("list")
    data = Event(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


class DayOfUse(serializers.Serializer[Any]):
    """A day, in UTC."""

    date = serializers.DateField(source="day")
    requests = serializers.IntegerField(min_value=0)
    limited = serializers.IntegerField(min_value=0, help_text="Of these, over the rate limit.")


class KeyUsage(serializers.Serializer[Any]):
    """A key's requests by day, the oldest first; days without any are zero."""

    object = Constant("key_usage")
    key_id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$", source="id")
    days = Computed()
    livemode = serializers.BooleanField()

    @extend_schema_field(DayOfUse(many=True))
    def get_days(self, api_key: ApiKey) -> Any:
        return DayOfUse(KeyDay.last_of(api_key.pk, **self.context), many=True).data


class TestsUsed(serializers.Serializer[Any]):
    """Tests; `overage` is what is used beyond a limit that was lowered."""

    used = serializers.IntegerField(min_value=0)
    limit = serializers.IntegerField(min_value=0, allow_null=True)
    overage = serializers.IntegerField(min_value=0)
    resets_at = MomentField(
        allow_null=True, help_text="When `used` begins anew. Null: never, as on the free plan."
    )


class DomainsUsed(serializers.Serializer[Any]):
    """Domains that stand now."""

    used = serializers.IntegerField(min_value=0)
    limit = serializers.IntegerField(min_value=0, allow_null=True)


class ApiCalls(serializers.Serializer[Any]):
    """Requests of all the organization's keys of this mode."""

    total = serializers.IntegerField(min_value=0)
    rate_limited = serializers.IntegerField(min_value=0)


class Usage(serializers.Serializer[Any]):
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


class CallerOrganization(serializers.Serializer[Any]):
    """The organization a key belongs to."""

    id = serializers.RegexField(r"^org_[0-9A-Za-z]{12,}$")
    name = serializers.CharField()
    plan = serializers.CharField()


class CallerUsage(serializers.Serializer[Any]):
    """What the organization used in the key's mode; a limit of null is no limit."""

    tests_this_month = serializers.IntegerField(
        min_value=0, help_text="In this calendar month, UTC; on the free plan, ever."
    )
    tests_limit = serializers.IntegerField(min_value=0, allow_null=True)
    domains = serializers.IntegerField(min_value=0)
    domains_limit = serializers.IntegerField(min_value=0, allow_null=True)


class AuthContext(serializers.Serializer[Any]):
    """Who is calling and what it may do."""

    key_id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$")
    key_name = serializers.CharField()
    scopes = ScopesField()
    organization = CallerOrganization()
    usage = CallerUsage()
    livemode = serializers.BooleanField()
    allowed = serializers.BooleanField(
        required=False, help_text="Where `require` is given: whether the key holds all of it."
    )
    missing = serializers.ListField(
        child=serializers.ChoiceField(list(ALL_SCOPES)),
        required=False,
        help_text="Where `require` is given: what of it the key lacks.",
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
