"""Parts of the OpenAPI document that every endpoint shares."""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from web.errors.catalogue import CATALOGUE

EXAMPLE_REQUEST_ID: Final = "req_7Hq2mVb9TzXc"


def header(name: str, description: str, *, kind: Any = str, of: Any = True) -> OpenApiParameter:
    """Document a header of answers; `of` lists their statuses, or is True for every answer."""
    return OpenApiParameter(
        name, kind, OpenApiParameter.HEADER, response=of, description=description
    )


SHARED_HEADERS: Final = [
    header(
        "Request-Id",
        "Names this request: taken from the request's header of that name when it is 8 to 64 "
        "characters of `[A-Za-z0-9_-]`, else made here. Tell it to support.",
    ),
    header(
        "WWW-Authenticate",
        "The challenge of RFC 6750: `Bearer`; with `insufficient_scope`, the scopes that the "
        "request needs.",
        of=[401, 403],
    ),
    header("Allow", "The methods that this address takes.", of=[405]),
    header("Retry-After", "Seconds to wait before trying again.", kind=int, of=[409, 429, 503]),
    header(
        "ReachScore-Key-Expires-At",
        "In the last 30 days of the key, or of a secret that is being rotated out: when it ends.",
        kind=OpenApiTypes.DATETIME,
    ),
    header(
        "RateLimit-Limit",
        "The plan's requests a minute, of all keys of this mode together.",
        kind=int,
    ),
    header("RateLimit-Remaining", "How many are left in this minute.", kind=int),
    header("RateLimit-Reset", "The Unix time at which the next minute begins.", kind=int),
    OpenApiParameter(
        "ReachScore-Simulate",
        str,
        OpenApiParameter.HEADER,
        enum=[code for code, problem in CATALOGUE.items() if problem.is_rehearsable],
        description="With a test key: answer with this error and do nothing.",
    ),
]

# What any endpoint can answer, besides its own.
EVERYWHERE: Final = (
    "api_key_missing",
    "api_key_invalid",
    "api_key_expired",
    "api_key_in_url",
    "https_required",
    "parameter_unknown",
    "parameter_invalid",
    "request_invalid",
    "host_not_allowed",
    "organization_suspended",
    "ip_not_allowed",
    "rate_limit_exceeded",
    "simulate_in_live_mode",
    "simulate_unknown_code",
    "method_not_allowed",
    "not_acceptable",
    "internal_error",
    "temporarily_unavailable",
)
# What an endpoint that reads a body can answer, besides.
WITH_BODY: Final = (
    "missing_required_field",
    "contains_api_key",
    "invalid_json",
    "length_required",
    "request_too_large",
    "unsupported_media_type",
)
WITH_OPTIONAL_BODY: Final = tuple(c for c in WITH_BODY if c != "missing_required_field")


class StrictRequest(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Says of every `StrictSerializer` that it takes no other fields than its own."""

    target_class = "web.input.fields.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the serializer's schema, closed."""
        # The documented way for an extension to ask for what it adds to.
        schema: dict[str, Any] = auto_schema._map_serializer(  # type: ignore[no-untyped-call] # noqa: SLF001
            self.target, direction, bypass_extensions=True
        )
        return {**schema, "additionalProperties": False}


class ErrorDetail(serializers.Serializer[Any]):
    """What went wrong, for programs (`code`) and for people (`message`, `fix`)."""

    type = serializers.ChoiceField(sorted({problem.type for problem in CATALOGUE.values()}))
    code = serializers.ChoiceField(list(CATALOGUE))
    message = serializers.CharField()
    field = serializers.CharField(required=False, help_text="Only where one field is at fault.")
    fix = serializers.CharField(help_text="How to mend it.")
    doc_url = serializers.CharField(help_text="The code on the error page.")
    request_id = serializers.CharField()
    required_scopes = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="With `insufficient_scope`: what the request needs,",
    )
    granted_scopes = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="what the key holds,"
    )
    missing_scopes = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="and what it lacks."
    )
    limit = serializers.IntegerField(
        min_value=0, required=False, help_text="With `quota_exceeded`: what is granted,"
    )
    used = serializers.IntegerField(min_value=0, required=False, help_text="what of it is used,")
    resets_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="and when it starts anew; null: never."
    )


class Error(serializers.Serializer[Any]):
    """The one shape of every answer from 400 on."""

    error = ErrorDetail()


def error_responses(*codes: str) -> dict[int, OpenApiResponse]:
    """Document the refusals with these codes: a response a status, an example a code."""
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes, key=list(CATALOGUE).index):
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    return {
        status: OpenApiResponse(
            Error,
            description=" · ".join(f"`{code}`" for code in of_status),
            examples=[_example(code) for code in of_status],
        )
        for status, of_status in sorted(by_status.items())
    }


def _example(code: str) -> OpenApiExample:
    problem = CATALOGUE[code]
    error = {
        "type": problem.type,
        "code": code,
        "message": problem.message,
        "fix": problem.fix,
        "doc_url": f"https://api.reachscore.co/docs/errors#{code}",
        "request_id": EXAMPLE_REQUEST_ID,
    }
    return OpenApiExample(code, value={"error": error}, response_only=True)
