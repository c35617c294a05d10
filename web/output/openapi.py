"""Parts of the OpenAPI document that all endpoints share: headers, errors."""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from web.errors.catalogue import CATALOGUE

EXAMPLE_REQUEST_ID: Final = "req_7Hq2mVb9TzXc"


def header(name: str, description: str, *, kind: Any = str, of: Any = True) -> OpenApiParameter:
    """Document a response header; `of` lists the statuses that have it, or is True for all."""
    return OpenApiParameter(
        name, kind, OpenApiParameter.HEADER, response=of, description=description
    )


SHARED_HEADERS: Final = [
    header(
        "Request-Id",
        "Identifies this request, for support. Your own Request-Id is used if it is 8 to 64 "
        "characters of `[A-Za-z0-9_-]`, else a new one is made.",
    ),
    header(
        "WWW-Authenticate",
        "The challenge of RFC 6750: `Bearer`; with `insufficient_scope`, the scopes that the "
        "request needs.",
        of=[401, 403],
    ),
    header("Allow", "The methods that this path supports.", of=[405]),
    header("Retry-After", "Seconds to wait before trying again.", kind=int, of=[409, 429, 503]),
    header(
        "ReachScore-Key-Expires-At",
        "When the key, or a secret that is being rotated out, expires; sent in its last 30 days.",
        kind=OpenApiTypes.DATETIME,
    ),
    header(
        "RateLimit-Limit",
        "The plan's requests per minute, for all keys of this mode together.",
        kind=int,
    ),
    header("RateLimit-Remaining", "How many are left in this minute.", kind=int),
    header("RateLimit-Reset", "The Unix time at which the next minute begins.", kind=int),
    OpenApiParameter(
        "ReachScore-Simulate",
        str,
        OpenApiParameter.HEADER,
        enum=[code for code, problem in CATALOGUE.items() if problem.is_rehearsable],
        description="With a test key: respond with this error and do nothing.",
    ),
]

# Error codes of every endpoint.
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
# Further error codes of endpoints that read a body.
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
    """Adds `additionalProperties: false` to the schema of every `StrictSerializer`."""

    target_class = "web.input.fields.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the serializer's schema without additional properties."""
        # The documented way for an extension to get the schema that it changes.
        schema: dict[str, Any] = auto_schema._map_serializer(  # type: ignore[no-untyped-call] # noqa: SLF001
            self.target, direction, bypass_extensions=True
        )
        return {**schema, "additionalProperties": False}


def _scopes(help_text: str) -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(), required=False, help_text=help_text)


class Fault(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField()
    code = serializers.ChoiceField(list(CATALOGUE))
    message = serializers.CharField()
    fix = serializers.CharField()


class ErrorDetail(serializers.Serializer[Any]):
    """What went wrong, for programs (`code`) and for people (`message`, `fix`)."""

    type = serializers.ChoiceField(sorted({problem.type for problem in CATALOGUE.values()}))
    code = serializers.ChoiceField(list(CATALOGUE))
    message = serializers.CharField()
    field = serializers.CharField(required=False, help_text="Present if one field is at fault.")
    fix = serializers.CharField(help_text="How to mend it.")
    doc_url = serializers.CharField(help_text="The code on the error page.")
    request_id = serializers.CharField()
    errors = Fault(  # type: ignore[assignment]
        many=True,
        required=False,
        help_text="If one or more fields are at fault: each of them, at most 20. The first stands "
        "in `error` itself.",
    )
    required_scopes = _scopes("With `insufficient_scope`: the scopes that the request needs.")
    granted_scopes = _scopes("With `insufficient_scope`: the scopes that the key has.")
    missing_scopes = _scopes("With `insufficient_scope`: the scopes that the key lacks.")
    limit = serializers.IntegerField(
        min_value=0, required=False, help_text="With `quota_exceeded`: the limit."
    )
    used = serializers.IntegerField(
        min_value=0, required=False, help_text="With `quota_exceeded`: how much of it is used."
    )
    resets_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="When the quota renews; null: never."
    )


class Error(serializers.Serializer[Any]):
    """The body of every response from 400 on."""

    error = ErrorDetail()


def error_responses(*codes: str) -> dict[int, OpenApiResponse]:
    """Document refusals: one response for each status, one example for each code."""
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
