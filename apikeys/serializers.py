"""What the endpoints take, and what the OpenAPI document says they answer with.

Requests are read by these classes. Answers are built by `apikeys.presenters`; the classes that
describe them serve the document, and the tests hold the two together.
"""

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from accounts.models.audit import ActorType
from apikeys.models import KeyStatus
from apikeys.models.api_key import LARGEST_SHARE, LONGEST_OVERLAP
from apikeys.networks import MOST_NETWORKS
from apikeys.scopes import ALL_SCOPES, Scope, clean_scopes
from reachscore.api.fields import (
    IntegerField,
    MomentField,
    StrictSerializer,
    StringField,
    StringListField,
)
from reachscore.api.parameters import (
    ChoiceParameter,
    FlagParameter,
    ListQuery,
    QuerySerializer,
    WholeNumberParameter,
)
from reachscore.api.text import clean_line

LONGEST_OVERLAP_SECONDS: Final = int(LONGEST_OVERLAP.total_seconds())
DEFAULT_OVERLAP_SECONDS: Final = 24 * 60 * 60
MOST_DAYS: Final = 3650

SCOPES_SCHEMA: Final = {
    "type": "array",
    "items": {"type": "string", "enum": list(ALL_SCOPES)},
    "minItems": 1,
    "description": "In this order: "
    + "; ".join(f"`{scope.value}` {scope.label.lower()}" for scope in Scope)
    + ".",
}


# One to a hundred characters between the spaces that are trimmed, none of them a control character.
_TRIMMED: Final = r"[\s\x1c-\x1f]*"
_VISIBLE: Final = r"[^\s\x00-\x1f\x7f-\x9f]"
NAME_PATTERN: Final = (
    rf"^{_TRIMMED}{_VISIBLE}(?:[^\x00-\x1f\x7f-\x9f]{{0,98}}{_VISIBLE})?{_TRIMMED}$"
)

REASON_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]{0,200}$"


@extend_schema_field({"type": "string", "minLength": 1, "pattern": NAME_PATTERN})
class NameField(StringField):
    """The display name; its rules are the verb's."""


@extend_schema_field(SCOPES_SCHEMA)
class ScopesField(StringListField):
    """The scopes; which exist and what may be given are the verb's to say."""


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "maxItems": MOST_NETWORKS,
    }
)
class NetworksField(StringListField):
    """Addresses and networks; the verb reads them."""


@extend_schema_field({"type": "string", "enum": list(ALL_SCOPES)})
class ScopeParameter(StringField):
    """One scope; the refusal of any other lists all."""


_ONE_SCOPE: Final = f"(?:{'|'.join(ALL_SCOPES)})"


@extend_schema_field({"type": "string", "pattern": f"^{_ONE_SCOPE}(?:,{_ONE_SCOPE})*$"})
class ScopesParameter(StringField):
    """Scopes with commas between."""


class KeyRequest(StrictSerializer):
    """The body of `POST /v1/keys`."""

    name = NameField(help_text="Display name, 1 to 100 characters once trimmed.")
    scopes = ScopesField(required=False, help_text="Left out: all eight.")
    expires_at = MomentField(
        required=False,
        allow_null=True,
        help_text="In the future, at most ten years away, and not after the calling key's own "
        "end. Left out: as long as the calling key. Null: never.",
    )
    allowed_ips = NetworksField(
        required=False,
        allow_null=True,
        help_text="IPv4 and IPv6 addresses or networks the key may be used from, such as "
        "`192.0.2.7` or `2001:db8::/32`, within the calling key's own. Left out: the calling "
        "key's own. Null: any address.",
    )
    max_tests_per_month = IntegerField(
        least=0,
        most=LARGEST_SHARE,
        required=False,
        allow_null=True,
        help_text="The key's own share of the plan's tests, per calendar month in UTC, within the "
        "calling key's own. Left out: the calling key's own. Null: all of the plan.",
    )


class KeyChange(StrictSerializer):
    """The body of `PATCH /v1/keys/{key_id}`: what is left out stays as it is."""

    name = NameField(required=False)
    scopes = ScopesField(required=False, help_text="Within the calling key's own.")
    expires_at = MomentField(
        required=False,
        allow_null=True,
        help_text="In the future, at most ten years away, and not after the calling key's own "
        "end. Null: never.",
    )
    allowed_ips = NetworksField(
        required=False,
        allow_null=True,
        help_text="Within the calling key's own. Null: any address.",
    )
    max_tests_per_month = IntegerField(
        least=0,
        most=LARGEST_SHARE,
        required=False,
        allow_null=True,
        help_text="Within the calling key's own. Null: all of the plan.",
    )


class RotationRequest(StrictSerializer):
    """The body of `POST /v1/keys/{key_id}/rotate`."""

    overlap_seconds = IntegerField(
        least=0,
        most=LONGEST_OVERLAP_SECONDS,
        default=DEFAULT_OVERLAP_SECONDS,
        help_text="How long the old secret lives on: at most a week, and never beyond the key.",
    )


class NoBody(StrictSerializer):
    """Of an endpoint that takes no fields."""


class KeyListQuery(ListQuery):
    """The filters of `GET /v1/keys`; a key must pass all that are given."""

    status = ChoiceParameter(list(KeyStatus.values), required=False)
    scope = ScopeParameter(required=False, help_text="Holds this scope.")
    unused_for_days = WholeNumberParameter(
        least=1,
        most=MOST_DAYS,
        required=False,
        help_text="At least this old, and not used within this many days.",
    )
    expires_within_days = WholeNumberParameter(
        least=1,
        most=MOST_DAYS,
        required=False,
        help_text="Not expired, and expires within this many days.",
    )
    name = NameField(required=False, help_text="Has this in its name, in any case.")
    over_privileged = FlagParameter(
        required=False,
        help_text="Holds scopes that were granted 30 or more days ago and never exercised since; "
        "`false`: holds none such.",
    )

    def validate_scope(self, value: str) -> str:
        """Raises ParameterInvalid for a scope that there is not."""
        clean_scopes([value], field="scope")
        return value

    def validate_name(self, value: str) -> str:
        """Raises ParameterInvalid for what no name can hold."""
        return clean_line(value, field="name", max_length=100)


@extend_schema_field({"type": "string", "pattern": REASON_PATTERN})
class ReasonParameter(StringField):
    """Why; its rules are the verb's."""


class EventListQuery(ListQuery):
    """Which events of a key."""

    role = ChoiceParameter(
        ["target", "actor"],
        default="target",
        help_text="`target`: what was done to the key; `actor`: what the key did to others.",
    )


class RevocationQuery(QuerySerializer):
    """How a key is revoked."""

    reason = ReasonParameter(
        required=False, default="", help_text="Kept with the key; at most 200 characters."
    )
    cascade = FlagParameter(
        default=False,
        help_text="Also revoke every key that this one made, through all generations, and end "
        "every secret that it issued. Takes an unrestricted key.",
    )


class AuthContextQuery(QuerySerializer):
    """What a caller asks about itself."""

    require = ScopesParameter(
        required=False,
        help_text="Scopes with commas between: the answer says whether the key holds them all.",
    )

    def validate_require(self, value: str) -> list[str]:
        """Raises ParameterInvalid for a scope that there is not."""
        return clean_scopes(value.split(","), field="require")


class Secret(serializers.Serializer[Any]):
    """A secret that was not ended, by its public parts; it works as long as its key is active."""

    locator = serializers.CharField(help_text="The eight characters after `rk_live_`.")
    key_hint = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When it is rotated out; null: as long as the key."
    )


class Key(serializers.Serializer[Any]):
    """An API key."""

    id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$")
    object = serializers.ChoiceField(["api_key"])
    name = serializers.CharField()
    key_hint = serializers.CharField(
        help_text="`...` and the newest secret's last four characters."
    )
    scopes = ScopesField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    livemode = serializers.BooleanField(help_text="False: a test key of the sandbox.")
    status = serializers.ChoiceField(list(KeyStatus.values))
    last_used_at = serializers.DateTimeField(
        allow_null=True, help_text="The latest use of any of its secrets, to the minute."
    )
    revoked_at = serializers.DateTimeField(allow_null=True)
    revoked_reason = serializers.CharField(
        allow_null=True, help_text="As it was given over this API."
    )
    created_by = serializers.CharField(help_text="`key:key_…`, `staff`, `cli` or `system`.")
    allowed_ips = NetworksField(allow_null=True, help_text="Null: any address.")
    secrets = Secret(many=True, help_text="One, or two while the key is being rotated.")
    max_tests_per_month = serializers.IntegerField(
        min_value=0, allow_null=True, help_text="Its own share of the plan; null: all of it."
    )
    scope_usage = serializers.DictField(
        child=serializers.DateField(allow_null=True),
        help_text="For each scope the last day, in UTC, on which it was exercised; null: never.",
    )
    unused_scopes = serializers.ListField(
        child=serializers.ChoiceField(list(ALL_SCOPES)),
        help_text="Granted 30 or more days ago and never exercised since: take them away.",
    )


class IssuedKey(Key):
    """An API key and the plaintext of its newest secret: the only answers that ever hold it."""

    key = serializers.CharField(help_text="The whole key. Shown here, once, and never again.")


class CascadeCounts(serializers.Serializer[Any]):
    """What a cascade did, besides revoking the key itself."""

    keys_revoked = serializers.IntegerField(min_value=0)
    secrets_ended = serializers.IntegerField(min_value=0)
    secrets_restored = serializers.IntegerField(min_value=0)


class RevokedKey(Key):
    """An API key that was revoked."""

    cascade = CascadeCounts(required=False, help_text="Only where it was asked for.")


@extend_schema_serializer(many=False)  # Itself the list, where a view is called `list`.
class KeyList(serializers.Serializer[Any]):
    """A page of keys, newest first."""

    object = serializers.ChoiceField(["list"])
    data = Key(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


class EventActor(serializers.Serializer[Any]):
    """Who did it. Of members of staff, commands and the service itself, the type alone."""

    # Events of an organization name no stranger: those are the service's own.
    type = serializers.ChoiceField([c for c in ActorType.choices if c[0] != ActorType.STRANGER])
    id = serializers.CharField(required=False)
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="What the key was called then."
    )


class EventTarget(serializers.Serializer[Any]):
    """What it was done to."""

    type = serializers.CharField()
    id = serializers.CharField()


class Event(serializers.Serializer[Any]):
    """One entry of the audit log."""

    id = serializers.RegexField(r"^evt_[0-9A-Za-z]{12,}$")
    object = serializers.ChoiceField(["event"])
    action = serializers.CharField(help_text="Such as `api_key.rotated`.")
    actor = EventActor()
    target = EventTarget()
    reason = serializers.CharField(allow_null=True)
    changes = serializers.DictField(
        child=serializers.ListField(min_length=2, max_length=2), help_text="field: [before, after]"
    )
    ip = serializers.IPAddressField(allow_null=True)
    user_agent = serializers.CharField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class EventList(serializers.Serializer[Any]):
    """A page of events, newest first."""

    object = serializers.ChoiceField(["list"])
    data = Event(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


class KeyUsageQuery(QuerySerializer):
    """How far back."""

    days = WholeNumberParameter(least=1, most=366, default=30, help_text="Up to today.")


class DayOfUse(serializers.Serializer[Any]):
    """A day, in UTC."""

    date = serializers.DateField()
    requests = serializers.IntegerField(min_value=0)
    limited = serializers.IntegerField(min_value=0, help_text="Of these, over the rate limit.")


class KeyUsage(serializers.Serializer[Any]):
    """A key's requests by day, the oldest first; days without any are zero."""

    object = serializers.ChoiceField(["key_usage"])
    key_id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$")
    days = DayOfUse(many=True)
    livemode = serializers.BooleanField()


class TestsUsed(serializers.Serializer[Any]):
    """Tests; `overage` is what is used beyond a limit that was lowered."""

    used = serializers.IntegerField(min_value=0)
    limit = serializers.IntegerField(min_value=0, allow_null=True)
    overage = serializers.IntegerField(min_value=0)


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

    object = serializers.ChoiceField(["usage"])
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()
    tests = TestsUsed()
    domains = DomainsUsed()
    api_calls = ApiCalls()
    livemode = serializers.BooleanField()


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
