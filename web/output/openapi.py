"""Parts of the OpenAPI document that all endpoints share; `openapi_hook` completes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiParameter, OpenApiResponse, extend_schema_field
from rest_framework import serializers

from web.errors.catalogue import CATALOGUE
from web.input.fields import StringListField

# What operations share: `everywhere` are the error codes of every endpoint, those of bodies
# included. `default` has those that no client branches on. `of_callers` are the codes and headers
# that an endpoint without authentication lacks.
SHARED: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("openapi.json").read_text())
# Extension by which an operation hands examples of its parameters to `share_repeats`.
PARAMETER_EXAMPLES: Final = "x-parameter-examples"


def header(name: str, description: str, *, of: Sequence[int]) -> OpenApiParameter:
    """Document a response header of one endpoint; `of` lists the statuses that have it."""
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, response=list(of), description=description
    )


class StrictRequest(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Adds `additionalProperties: false` to the schema of every `StrictSerializer`."""

    target_class = "web.input.fields.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        # The documented way for an extension to get the schema that it changes.
        schema: dict[str, Any] = auto_schema._map_serializer(  # type: ignore[no-untyped-call] # noqa: SLF001
            self.target, direction, bypass_extensions=True
        )
        return {**schema, "additionalProperties": False}


NAMED: Final[dict[str, dict[str, Any]]] = {}  # Schemas of KnownValues with a name of their own.


class KnownValues(serializers.CharField):
    """A text of a growing set: an open string in the document, so that a new one breaks no client.

    `values` may map each to its meaning. With `component`, the schema has a name of its own.
    """

    def __init__(
        self, values: Sequence[str] | Mapping[str, str], *, component: str = "", **options: Any
    ) -> None:
        super().__init__(**options)
        meanings = values if isinstance(values, Mapping) else dict.fromkeys(values, "")
        known = "; ".join(f"`{value}` {meaning}".strip() for value, meaning in meanings.items())
        schema: dict[str, Any] = {"type": "string", "description": f"Known values: {known}."}
        schema["x-extensible-enum"] = list(values)
        if component:
            NAMED[component], schema = schema, {"$ref": f"#/components/schemas/{component}"}
        extend_schema_field(schema)(self)  # type: ignore[type-var]


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


def error_responses(*codes: str, is_public: bool = False) -> dict[int, OpenApiResponse]:
    """Document an endpoint's refusals beside those of every one: one response for each status.

    `share_repeats` completes them. It names a response after its last code.
    """
    by_status: dict[int, list[str]] = {}
    everywhere = [c for c in SHARED["everywhere"] if not (is_public and c in SHARED["of_callers"])]
    for code in (*everywhere, *codes):
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    return {
        status: OpenApiResponse(ApiError, description=" · ".join(f"`{c}`" for c in of_status))
        for status, of_status in sorted(by_status.items())
    }
