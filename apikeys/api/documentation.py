"""What the OpenAPI document says of the endpoints, apart from their code."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from apikeys.api import answers, context, events, serializers
from web.input.idempotency import FORM, HEADER, REPLAYED_HEADER
from web.output.openapi import (
    EVERYWHERE,
    SHARED_HEADERS,
    WITH_BODY,
    WITH_OPTIONAL_BODY,
    error_responses,
    header,
)


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


# Answers, by operation or serializer.
EXAMPLES: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("examples.json").read_text())

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
REPLAYED: Final = header(
    REPLAYED_HEADER,
    "`true`: an earlier sending had been carried out, and its secret was replaced.",
    of=[201],
)
OF_A_KEY: Final = ("insufficient_scope", "resource_not_found")
OF_A_CHANGE: Final = (*WITH_OPTIONAL_BODY, *OF_A_KEY, "exceeds_caller", "key_not_active")
ITSELF: Final = "Takes an unrestricted key, or the key itself."
NO_LIMITS: Final = (
    "Takes the key itself, or an unrestricted key without limits of its own: no end, addresses or "
    "share, and not a secret that is being rotated out."
)


View = TypeVar("View", bound=Callable[..., Any])


def _endpoint(
    operation_id: str,
    summary: str,
    description: str,
    *parameters: Any,
    ok: tuple[type[Any], str],
    errors: tuple[str, ...] = (),
    status: int = 200,
    tag: str = "API keys",
    sent: Mapping[str, Any] | None = None,
    **more: Any,
) -> Callable[[View], View]:
    """Describe an operation; `ok` is the answer's serializer and description, and `sent` are
    examples of bodies by their names."""
    serializer, answered = ok
    success = OpenApiResponse(
        serializer, description=answered, examples=[_example(operation_id, serializer.__name__)]
    )
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=description,
        tags=[tag],
        parameters=[*SHARED_HEADERS, *parameters],
        responses={status: success, **error_responses(*EVERYWHERE, *errors)},
        examples=[
            OpenApiExample(name, value=value, request_only=True)
            for name, value in (sent or {}).items()
        ],
        **more,
    )


def _example(operation_id: str, answer: str) -> OpenApiExample:
    value = EXAMPLES.get(operation_id) or EXAMPLES.get(answer)
    if value is None:  # A list, the last page.
        value = {"object": "list", "data": [EXAMPLES[answer.removesuffix("List")]]}
        value["has_more"] = False
    return OpenApiExample("Example", value=value, response_only=True)


list_keys = _endpoint(
    "list_keys",
    "List API keys",
    "The keys of your organization in the calling key's mode, newest first. A "
    "restricted key sees itself only.",
    serializers.KeyListQuery,
    ok=(answers.KeyList, "A page of keys."),
)

create_key = _endpoint(
    "create_key",
    "Create an API key",
    "Makes a key of your organization, in the mode of the key that calls. The whole "
    "key is in this answer and nowhere else, ever: store it at once. Takes an unrestricted key, "
    "one that holds every scope, and gives nothing that the calling key does not hold. Left out, "
    "`scopes` are all there are; the other fields are then as the calling key has them.",
    TOKEN,
    REPLAYED,
    request=serializers.KeyRequest,
    ok=(answers.IssuedKey, "The key was made."),
    status=201,
    errors=(
        *WITH_BODY,
        "idempotency_key_reused",
        "idempotency_in_progress",
        "idempotency_secret_used",
        "insufficient_scope",
        "exceeds_caller",
        "key_limit_reached",
    ),
    sent={"A key for CI": {"name": "CI/CD Pipeline", "scopes": ["tests:read", "tests:write"]}},
)

retrieve_key = _endpoint(
    "get_key",
    "Show an API key",
    ITSELF,
    KEY_ID,
    ok=(answers.Key, "The key."),
    errors=OF_A_KEY,
)

key_usage = _endpoint(
    "get_key_usage",
    "Show an API key's requests",
    "By day in UTC, up to today; days without requests are zero. " + ITSELF,
    KEY_ID,
    serializers.KeyUsageQuery,
    ok=(answers.KeyUsage, "The days."),
    errors=OF_A_KEY,
)

change_key = _endpoint(
    "change_key",
    "Change an API key",
    "Sets what is given and leaves the rest. Holds from the next request on. Takes an "
    "unrestricted key, and for another key than itself one without limits of its own. Gives "
    "nothing that the calling key does not hold. A revoked or expired key cannot be changed.",
    KEY_ID,
    request=serializers.KeyChange,
    ok=(answers.Key, "The key, as it is now."),
    errors=OF_A_CHANGE,
    sent={"Fewer scopes": {"scopes": ["tests:read"]}, "Any address": {"allowed_ips": None}},
)

rotate_key = _endpoint(
    "rotate_key",
    "Rotate an API key",
    "Gives the key a new secret. The id and all the rest stay; the old secret works "
    "for `overlap_seconds` more, and never beyond the key's own end. While a rotation is open and "
    "its new secret was never used, rotating again replaces that one, and the old one ends no "
    "later than it would: this request can be sent again, and an `Idempotency-Key` has no effect. "
    "Once the new secret was used, the oldest ends at once: there are never more than two. A key "
    "that rotates itself cannot send it again: a secret that is being rotated out does not rotate. "
    + NO_LIMITS,
    KEY_ID,
    request={"application/json": serializers.RotationRequest},
    ok=(answers.IssuedKey, "The new secret."),
    errors=OF_A_CHANGE,
    sent={"An hour": {"overlap_seconds": 3600}},
)

finish_rotation = _endpoint(
    "finish_rotation",
    "Finish a rotation",
    "Ends the old secret now. If no rotation is open, nothing changes. " + NO_LIMITS,
    KEY_ID,
    request={"application/json": serializers.NoBody},
    ok=(answers.Key, "The key, with one secret."),
    errors=OF_A_CHANGE,
    sent={"No fields": {}},
)

revoke_key = _endpoint(
    "revoke_key",
    "Revoke an API key",
    "At once and for good; once more changes nothing. With `cascade`, every key that "
    "it made is revoked and every secret that it issued is ended, through all generations, even "
    "if the key itself is revoked already. " + ITSELF,
    KEY_ID,
    serializers.RevocationQuery,
    ok=(answers.RevokedKey, "The key, revoked."),
    errors=OF_A_KEY,
)

list_events = _endpoint(
    "list_key_events",
    "List an API key's events",
    "What was done to the key, by whom and from where, or with `role=actor` what it "
    "did to keys, itself included; newest first. Of what our staff did, only what it was. Takes "
    "an unrestricted key.",
    KEY_ID,
    serializers.EventListQuery,
    ok=(events.EventList, "A page of events."),
    errors=OF_A_KEY,
)

usage = _endpoint(
    "get_usage",
    "Show what the plan is used for",
    "The current calendar month in UTC of your organization, in the calling key's "
    "mode. Takes the scope `billing:manage`.",
    tag="Usage",
    ok=(context.Usage, "The month."),
    errors=("insufficient_scope",),
)

auth_context = _endpoint(
    "get_auth_context",
    "Who is calling",
    "Says whose key this is, what it may do and how much of the plan is used in the "
    "key's mode. Takes any key that works, with any scopes.",
    serializers.AuthContextQuery,
    tag="Authentication",
    ok=(context.AuthContext, "The key works."),
)
