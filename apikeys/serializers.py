"""What the endpoints take and answer.

Requests are read by these classes. Answers are built as plain dictionaries, in the contract's
order, and the classes that describe them serve the OpenAPI document; the tests hold the two
together.
"""

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Meter
from apikeys.callers import Caller
from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES, Scope
from reachscore.api.fields import MomentField, StrictSerializer, StringField, StringListField
from reachscore.api.moments import format_moment

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


@extend_schema_field({"type": "string", "minLength": 1, "pattern": NAME_PATTERN})
class NameField(StringField):
    """The display name; its rules are the verb's."""


@extend_schema_field(SCOPES_SCHEMA)
class ScopesField(StringListField):
    """The scopes; which exist and what may be given are the verb's to say."""


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


class IssuedKey(serializers.Serializer[Any]):
    """An API key just made: the only answer that ever holds `key`."""

    id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$")
    object = serializers.ChoiceField(["api_key"])
    name = serializers.CharField()
    key = serializers.CharField(help_text="The whole key. Shown here, once, and never again.")
    key_hint = serializers.CharField(help_text="`...` and the key's last four characters.")
    scopes = ScopesField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    livemode = serializers.BooleanField(help_text="False: a test key of the sandbox.")


def issued_key(api_key: ApiKey, plaintext: str) -> dict[str, object]:
    """Build an IssuedKey."""
    return {
        "id": api_key.id,
        "object": "api_key",
        "name": api_key.name,
        "key": plaintext,
        "key_hint": f"...{plaintext[-4:]}",
        "scopes": api_key.scopes,
        "created_at": format_moment(api_key.created_at),
        "expires_at": api_key.expires_at and format_moment(api_key.expires_at),
        "livemode": api_key.livemode,
    }


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


def auth_context(caller: Caller, used: dict[Meter, int]) -> dict[str, object]:
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
            "tests_this_month": used[Meter.TESTS],
            "tests_limit": caller.tests_limit if caller.livemode else None,
            "domains": used[Meter.DOMAINS],
            "domains_limit": caller.domains_limit if caller.livemode else None,
        },
        "livemode": caller.livemode,
    }
