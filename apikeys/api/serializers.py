"""What the endpoints take: bodies and queries. `answers.py` has what they answer with."""

import re
from functools import partial
from typing import Any, Final

from apikeys.models import KeyStatus
from apikeys.networks import MOST_NETWORKS
from apikeys.scopes import ALL_SCOPES, clean_scopes
from apikeys.verbs.rotate import LONGEST_OVERLAP
from apikeys.verbs.rules import LARGEST_SHARE, clean
from web.input.fields import (
    IntegerField,
    MomentField,
    StrictSerializer,
    StringField,
    StringListField,
)
from web.input.parameters import (
    ChoiceParameter,
    FlagParameter,
    IdParameter,
    ListQuery,
    QuerySerializer,
    WholeNumberParameter,
)
from web.input.text import clean_line, clean_reason
from web.rules import KEY_ID

Days: Final = partial(WholeNumberParameter, least=1, most=3650, required=False)

# One to a hundred characters between the spaces that are trimmed, none of them a control character.
_TRIMMED: Final = r"[\s\x1c-\x1f]*"
_VISIBLE: Final = r"[^\s\x00-\x1f\x7f-\x9f]"
_ONE_SCOPE: Final = f"(?:{'|'.join(ALL_SCOPES)})"

# What the OpenAPI document says of a field; the rules themselves are the verb's.
NAME: Final = {
    "type": "string",
    "minLength": 1,
    "pattern": rf"^{_TRIMMED}{_VISIBLE}(?:[^\x00-\x1f\x7f-\x9f]{{0,98}}{_VISIBLE})?{_TRIMMED}$",
}
REASON: Final = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f]{0,200}$"}
SCOPE: Final = {"$ref": "#/components/schemas/Scope"}
# Scopes may grow, but a request must name one that is known now.
KNOWN_SCOPE: Final = {**SCOPE, "pattern": f"^{_ONE_SCOPE}$"}
SCOPES_WITH_COMMAS: Final = {"type": "string", "pattern": f"^{_ONE_SCOPE}(?:,{_ONE_SCOPE})*$"}
SCOPES: Final = {"type": "array", "items": SCOPE, "minItems": 1}
NETWORKS: Final = {
    "type": "array",
    "items": {"type": "string"},
    "minItems": 1,
    "maxItems": MOST_NETWORKS,
}

_UNLIMITED: Final[dict[str, Any]] = {"required": False, "allow_null": True}


class ApiKeyCreate(StrictSerializer):
    """The body of `POST /v1/keys`."""

    name = StringField(schema=NAME, help_text="Display name, 1 to 100 characters once trimmed.")
    scopes = StringListField(
        schema={**SCOPES, "items": KNOWN_SCOPE},
        required=False,
        help_text="Within the calling key's own.",
    )
    expires_at = MomentField(
        **_UNLIMITED,
        help_text="In the future, at most ten years away, and not after the calling key's own "
        "end. Null: never.",
    )
    allowed_ips = StringListField(
        schema=NETWORKS,
        **_UNLIMITED,
        help_text="IPv4 and IPv6 addresses or networks the key may be used from, such as "
        "`192.0.2.7` or `2001:db8::/32`, within the calling key's own. Null: any address.",
    )
    max_tests_per_month = IntegerField(
        least=0,
        most=LARGEST_SHARE,
        **_UNLIMITED,
        help_text="The key's own share of the plan's tests, per calendar month in UTC, within the "
        "calling key's own. Null: all of the plan.",
    )

    def check_rest(self, values: dict[str, Any]) -> None:
        clean(values)


class ApiKeyUpdate(ApiKeyCreate):
    """The body of `PATCH /v1/keys/{key_id}`: what is left out stays as it is."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        fields["name"].required = False
        return fields


class RotationRequest(StrictSerializer):
    """The body of `POST /v1/keys/{key_id}/rotate`."""

    overlap_seconds = IntegerField(
        least=0,
        most=int(LONGEST_OVERLAP.total_seconds()),
        default=24 * 60 * 60,
        help_text="How long the old secret lives on: at most a week, and never beyond the key.",
    )


class NoBody(StrictSerializer):
    """Of an endpoint that takes no fields."""


class KeyListQuery(ListQuery):
    """The filters of `GET /v1/keys`; a key must pass all that are given."""

    status = ChoiceParameter(list(KeyStatus.values), required=False, help_text="Is this now.")
    scope = StringField(schema=KNOWN_SCOPE, required=False, help_text="Holds this scope.")
    unused_for_days = Days(help_text="At least this old, and not used within this many days.")
    expires_within_days = Days(help_text="Not expired, and expires within this many days.")
    name = StringField(
        schema={"type": "string", "pattern": r"\S", "maxLength": 100},
        required=False,
        help_text="Has this in its name, in any case.",
    )
    over_privileged = FlagParameter(
        required=False,
        help_text="Holds scopes that were granted 30 or more days ago and never exercised since; "
        "`false`: holds none such.",
    )

    def validate_scope(self, value: str) -> str:
        return clean_scopes([value], field="scope")[0]

    def validate_name(self, value: str) -> str:
        return clean_line(value, field="name", max_length=100)


class EventListQuery(ListQuery):
    """The filters of `GET /v1/events`; an event must pass all that are given."""

    action = IdParameter(
        re.compile(r"[a-z_]{1,24}\.[a-z_]{1,24}"),
        "an action, such as api_key.rotated",
        required=False,
        help_text="What was done.",
    )
    key = IdParameter(
        KEY_ID,
        "a key's id",
        source="target_id",
        required=False,
        help_text="What was done to this key.",
    )
    actor = IdParameter(
        re.compile(f"{KEY_ID.pattern}|staff|cli|system|scanner|stranger"),
        "a key's id, staff, cli, system, scanner or stranger",
        source="actor_id",
        required=False,
        help_text="Who did it: a key's id, or all of `staff`, `cli`, `system`, `scanner` (reports "
        "of leaks) or `stranger`.",
    )
    since = MomentField(source="created_at__gte", required=False, help_text="Not before this time.")
    until = MomentField(source="created_at__lt", required=False, help_text="Before this time.")


class KeyEventListQuery(ListQuery):
    """Which events of a key."""

    role = ChoiceParameter(
        ["target", "actor"],
        default="target",
        help_text="`target`: what was done to the key; `actor`: what the key did, to itself too.",
    )


class RevocationQuery(QuerySerializer):
    """How a key is revoked."""

    reason = StringField(
        schema=REASON,
        required=False,
        default="",
        help_text="Kept with the key; at most 200 characters.",
    )
    cascade = FlagParameter(
        default=False,
        help_text="Also revoke every key that this one made, through all generations, and end "
        "every secret that it issued. Takes an unrestricted key.",
    )

    def check_rest(self, values: dict[str, Any]) -> None:
        clean_reason(values.get("reason", ""), required=False)


class AuthContextQuery(QuerySerializer):
    """What a caller asks about itself."""

    require = StringField(
        schema=SCOPES_WITH_COMMAS,
        required=False,
        help_text="Scopes with commas between: the answer says whether the key holds them all.",
    )

    def validate_require(self, value: str) -> list[str]:
        return clean_scopes(value.split(","), field="require")


class KeyUsageQuery(QuerySerializer):
    """How far back."""

    days = WholeNumberParameter(least=1, most=366, default=30, help_text="Up to today.")
