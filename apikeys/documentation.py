"""What the OpenAPI document says of the endpoints, apart from their code."""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)

from apikeys import examples
from apikeys.answers import (
    AuthContext,
    EventList,
    IssuedKey,
    Key,
    KeyList,
    KeyUsage,
    RevokedKey,
    Usage,
)
from apikeys.serializers import (
    AuthContextQuery,
    EventListQuery,
    KeyChange,
    KeyListQuery,
    KeyRequest,
    KeyUsageQuery,
    NoBody,
    RevocationQuery,
    RotationRequest,
)
from reachscore.api.idempotency import FORM, HEADER, REPLAYED_HEADER
from reachscore.api.openapi import EVERYWHERE, SHARED_HEADERS, WITH_BODY, error_responses


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """`BearerAuthentication` in OpenAPI's words."""

    target_class = "apikeys.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return an HTTP bearer scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key: `Authorization: Bearer rk_live_…` or `rk_test_…`. Never "
            "in the URL.",
        }


KEYS: Final = ["API keys"]
KEY_ID: Final = OpenApiParameter(
    "key_id", str, OpenApiParameter.PATH, description="The key's id, `key_…`."
)
TOKEN: Final = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    pattern=FORM,
    description="Makes it safe to send this request again, for 24 hours: 1 to 255 printable ASCII "
    "characters, bare or in quotes, new for each new request. The same request answers again with "
    "the same key and a fresh secret, as long as the first secret was never used.",
)
REPLAYED: Final = OpenApiParameter(
    REPLAYED_HEADER,
    str,
    OpenApiParameter.HEADER,
    response=[201],
    description="`true`: an earlier sending had been carried out, and its secret was replaced.",
)
ITSELF: Final = "Takes an unrestricted key, or the key itself."
NO_LIMITS: Final = (
    "Takes the key itself, or an unrestricted key without limits of its own: no end, addresses or "
    "share, and not a secret that is being rotated out."
)


def _answer(serializer: type[Any], description: str, name: str, value: object) -> OpenApiResponse:
    example = OpenApiExample(name, value=value, response_only=True)
    return OpenApiResponse(serializer, description=description, examples=[example])


list_keys = extend_schema(
    operation_id="list_keys",
    summary="List API keys",
    description="The keys of your organization in the calling key's mode, newest first. A "
    "restricted key sees itself only.",
    tags=KEYS,
    parameters=[*SHARED_HEADERS, KeyListQuery],
    responses={
        200: _answer(KeyList, "A page of keys.", "One key", examples.a_list(examples.KEY)),
        **error_responses(*EVERYWHERE),
    },
)

create_key = extend_schema(
    operation_id="create_key",
    summary="Create an API key",
    description="Makes a key of your organization, in the mode of the key that calls. The whole "
    "key is in this answer and nowhere else, ever: store it at once. Takes an unrestricted key, "
    "one that holds all eight scopes, and gives nothing that the calling key does not hold.",
    tags=KEYS,
    parameters=[*SHARED_HEADERS, TOKEN, REPLAYED],
    request=KeyRequest,
    responses={
        201: _answer(IssuedKey, "The key was made.", "A key for CI", examples.ISSUED_KEY),
        **error_responses(
            *EVERYWHERE,
            *WITH_BODY,
            "idempotency_key_reused",
            "idempotency_in_progress",
            "idempotency_secret_used",
            "insufficient_scope",
            "exceeds_caller",
            "key_limit_reached",
        ),
    },
    examples=[
        OpenApiExample(
            "A key for CI",
            value={"name": "CI/CD Pipeline", "scopes": ["tests:read", "tests:write"]},
            request_only=True,
        )
    ],
)

retrieve_key = extend_schema(
    operation_id="get_key",
    summary="Show an API key",
    description=ITSELF,
    tags=KEYS,
    parameters=[*SHARED_HEADERS, KEY_ID],
    responses={
        200: _answer(Key, "The key.", "A key for CI", examples.KEY),
        **error_responses(*EVERYWHERE, "insufficient_scope", "resource_not_found"),
    },
)

key_usage = extend_schema(
    operation_id="get_key_usage",
    summary="Show an API key's requests",
    description="By day in UTC, up to today; days without requests are zero. " + ITSELF,
    tags=KEYS,
    parameters=[*SHARED_HEADERS, KEY_ID, KeyUsageQuery],
    responses={
        200: _answer(KeyUsage, "The days.", "Two days", examples.KEY_USAGE),
        **error_responses(*EVERYWHERE, "insufficient_scope", "resource_not_found"),
    },
)

change_key = extend_schema(
    operation_id="change_key",
    summary="Change an API key",
    description="Sets what is given and leaves the rest. Holds from the next request on. Takes an "
    "unrestricted key, and for another key than itself one without limits of its own. Gives "
    "nothing that the calling key does not hold. A revoked or expired key cannot be changed.",
    tags=KEYS,
    parameters=[*SHARED_HEADERS, KEY_ID],
    request=KeyChange,
    responses={
        200: _answer(Key, "The key, as it is now.", "A key for CI", examples.KEY),
        **error_responses(
            *EVERYWHERE,
            *(code for code in WITH_BODY if code != "missing_required_field"),
            "insufficient_scope",
            "exceeds_caller",
            "resource_not_found",
            "key_not_active",
        ),
    },
    examples=[
        OpenApiExample("Fewer scopes", value={"scopes": ["tests:read"]}, request_only=True),
        OpenApiExample("Any address", value={"allowed_ips": None}, request_only=True),
    ],
)

rotate_key = extend_schema(
    operation_id="rotate_key",
    summary="Rotate an API key",
    description="Gives the key a new secret. The id and all the rest stay; the old secret works "
    "for `overlap_seconds` more, and never beyond the key's own end. While a rotation is open and "
    "its new secret was never used, rotating again replaces that one, and the old one ends no "
    "later than it would: this request can be sent again, and an `Idempotency-Key` has no effect. "
    "Once the new secret was used, the oldest ends at once: there are never more than two. A key "
    "that rotates itself cannot send it again: a secret that is being rotated out does not rotate. "
    + NO_LIMITS,
    tags=KEYS,
    parameters=[*SHARED_HEADERS, KEY_ID],
    request={"application/json": RotationRequest},
    responses={
        200: _answer(IssuedKey, "The new secret.", "Rotated", examples.ROTATED_KEY),
        **error_responses(
            *EVERYWHERE,
            *(code for code in WITH_BODY if code != "missing_required_field"),
            "insufficient_scope",
            "exceeds_caller",
            "resource_not_found",
            "key_not_active",
        ),
    },
    examples=[OpenApiExample("An hour", value={"overlap_seconds": 3600}, request_only=True)],
)

finish_rotation = extend_schema(
    operation_id="finish_rotation",
    summary="Finish a rotation",
    description="Ends the old secret now, where a rotation is open; else changes nothing. "
    + NO_LIMITS,
    tags=KEYS,
    parameters=[*SHARED_HEADERS, KEY_ID],
    request={"application/json": NoBody},
    responses={
        200: _answer(Key, "The key, with one secret.", "A key for CI", examples.KEY),
        **error_responses(
            *EVERYWHERE,
            *(code for code in WITH_BODY if code != "missing_required_field"),
            "insufficient_scope",
            "exceeds_caller",
            "resource_not_found",
            "key_not_active",
        ),
    },
    examples=[OpenApiExample("No fields", value={}, request_only=True)],
)

revoke_key = extend_schema(
    operation_id="revoke_key",
    summary="Revoke an API key",
    description="At once and for good; once more changes nothing. With `cascade`, every key that "
    "it made is revoked and every secret that it issued is ended, through all generations, also "
    "where the key itself is revoked already. " + ITSELF,
    tags=KEYS,
    parameters=[*SHARED_HEADERS, KEY_ID, RevocationQuery],
    responses={
        200: _answer(RevokedKey, "The key, revoked.", "With cascade", examples.REVOKED_KEY),
        **error_responses(*EVERYWHERE, "insufficient_scope", "resource_not_found"),
    },
)

list_events = extend_schema(
    operation_id="list_key_events",
    summary="List an API key's events",
    description="What was done to the key, by whom and from where, or with `role=actor` what it "
    "did to keys, itself included; newest first. Of what our staff did, only what it was. Takes "
    "an unrestricted key.",
    tags=KEYS,
    parameters=[*SHARED_HEADERS, KEY_ID, EventListQuery],
    responses={
        200: _answer(EventList, "A page of events.", "Made", examples.a_list(examples.EVENT)),
        **error_responses(*EVERYWHERE, "insufficient_scope", "resource_not_found"),
    },
)

usage = extend_schema(
    operation_id="get_usage",
    summary="Show what the plan is used for",
    description="The current calendar month in UTC of your organization, in the calling key's "
    "mode. Takes the scope `billing:manage`.",
    tags=["Usage"],
    parameters=SHARED_HEADERS,
    responses={
        200: _answer(Usage, "The month.", "A live month", examples.USAGE),
        **error_responses(*EVERYWHERE, "insufficient_scope"),
    },
)

auth_context = extend_schema(
    operation_id="get_auth_context",
    summary="Who is calling",
    description="Says whose key this is, what it may do and how much of the plan is used in the "
    "key's mode. Takes any key that works, whatever its scopes.",
    tags=["Authentication"],
    parameters=[*SHARED_HEADERS, AuthContextQuery],
    responses={
        200: _answer(AuthContext, "The key works.", "A live key", examples.AUTH_CONTEXT),
        **error_responses(*EVERYWHERE),
    },
)
