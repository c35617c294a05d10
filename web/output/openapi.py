"""Parts of the OpenAPI document that all endpoints share: errors, open enumerations.

`openapi_hook` completes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import (
    Direction,
    OpenApiParameter,
    OpenApiResponse,
)
from rest_framework import serializers

from web.errors.catalogue import CATALOGUE
from web.input.fields import StringListField

# Extension by which an operation hands examples of its parameters to `share_repeats`.
PARAMETER_EXAMPLES: Final = "x-parameter-examples"


def header(name: str, description: str, *, of: Sequence[int]) -> OpenApiParameter:
    """Document a response header of one endpoint; `of` lists the statuses that have it."""
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, response=list(of), description=description
    )


# Error codes of every endpoint, those that only a body can cause included. No method that the
# document lists answers `method_not_allowed`.
EVERYWHERE: Final = (
    "parameter_unknown",
    "parameter_invalid",
    "api_key_in_url",
    "https_required",
    "host_not_allowed",
    "request_invalid",
    "simulate_in_live_mode",
    "simulate_unknown_code",
    "missing_required_field",
    "contains_api_key",
    "invalid_json",
    "api_key_missing",
    "api_key_invalid",
    "api_key_expired",
    "organization_suspended",
    "ip_not_allowed",
    "not_acceptable",
    "rate_limit_exceeded",
    "temporarily_unavailable",
)
# Errors that need no branch in a client: the response `default`.
BY_DEFAULT: Final = (
    "length_required",
    "request_too_large",
    "unsupported_media_type",
    "internal_error",
)


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


class KnownValues(serializers.CharField):
    """A text of a growing set: an open string in the document, so that a new one breaks no client.

    `values` may map each to its meaning. With `component`, the schema has a name of its own.
    """

    def __init__(
        self,
        values: Sequence[str] | Mapping[str, str],
        *,
        text: str = "",
        component: str = "",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        meanings = values if isinstance(values, Mapping) else dict.fromkeys(values, "")
        known = "; ".join(f"`{value}` {meaning}".strip() for value, meaning in meanings.items())
        self.component = component
        self.schema = {
            "type": "string",
            "description": f"{text} Known values: {known}.".strip(),
            "x-extensible-enum": list(values),
        }


class KnownValuesSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """The schema of `KnownValues`."""

    target_class = KnownValues

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the field's schema, or a reference to its component."""
        field: KnownValues = self.target
        if not field.component:
            return field.schema
        named = ResolvedComponent(  # type: ignore[no-untyped-call]
            field.component, ResolvedComponent.SCHEMA, field.schema, field.component
        )
        auto_schema.registry.register_on_missing(named)
        reference: dict[str, str] = named.ref
        return reference


def _scopes(help_text: str) -> StringListField:
    # By its name: this room knows no scopes.
    schema = {"type": "array", "items": {"$ref": "#/components/schemas/Scope"}}
    return StringListField(schema=schema, required=False, help_text=help_text)


class FieldFault(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField()
    code = KnownValues(list(CATALOGUE), component="ErrorCode")
    message = serializers.CharField()
    fix = serializers.CharField()


class ApiErrorDetail(serializers.Serializer[Any]):
    """What went wrong, for programs (`code`) and for people (`message`, `fix`)."""

    type = KnownValues(sorted({problem.type for problem in CATALOGUE.values()}))
    code = KnownValues(list(CATALOGUE), component="ErrorCode")
    message = serializers.CharField()
    field = serializers.CharField(required=False, help_text="Present if one field is at fault.")
    fix = serializers.CharField(help_text="How to mend it.")
    doc_url = serializers.CharField(help_text="The code on the error page.")
    request_id = serializers.CharField()
    errors = FieldFault(  # type: ignore[assignment]
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


class ApiError(serializers.Serializer[Any]):
    """The body of every response from 400 on."""

    error = ApiErrorDetail()


def error_responses(*codes: str) -> dict[int, OpenApiResponse]:
    """Document an endpoint's refusals beside those of EVERYWHERE: one response for each status.

    `share_repeats` completes them. It names a response after its last code.
    """
    by_status: dict[int, list[str]] = {}
    for code in (*EVERYWHERE, *codes):
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    return {
        status: OpenApiResponse(ApiError, description=listed(of_status))
        for status, of_status in sorted(by_status.items())
    }


def listed(codes: Sequence[str]) -> str:
    """Return error codes as the document lists them."""
    return " · ".join(f"`{code}`" for code in codes)
