"""How the OpenAPI document describes an endpoint."""

import json
from collections.abc import Callable, Mapping
from inspect import getdoc, signature
from pathlib import Path
from typing import Any, Final, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from web.input.body import JSON_TYPES
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
ACCEPT_PATCH: Final = header("Accept-Patch", "The media types that a PATCH takes.", of=[415])
LOCATION: Final = header("Location", "The path of the new object.", of=[201])
REPLAYED: Final = header(
    REPLAYED_HEADER,
    "`true`: an earlier sending had been carried out, and its secret was replaced.",
    of=[201],
)
OF_A_KEY: Final = ("insufficient_scope", "resource_not_found")
OF_A_CHANGE: Final = (*WITH_OPTIONAL_BODY, *OF_A_KEY, "exceeds_caller", "key_not_active")
OF_A_CREATION: Final = (
    *WITH_BODY,
    "idempotency_key_reused",
    "idempotency_in_progress",
    "idempotency_secret_used",
    "insufficient_scope",
    "exceeds_caller",
    "key_limit_reached",
)
ITSELF: Final = "Takes an unrestricted key, or the key itself."
NO_LIMITS: Final = (
    "Takes the key itself, or an unrestricted key without limits of its own: no end, addresses or "
    "share, and not a secret that is being rotated out."
)


View = TypeVar("View", bound=Callable[..., Any])


def endpoint(
    operation_id: str,
    summary: str,
    answer: type[Any],
    *parameters: Any,
    takes: str = "",
    errors: tuple[str, ...] = (),
    status: int = 200,
    tag: str = "API keys",
    sent: Mapping[str, Any] | None = None,
    **more: Any,
) -> Callable[[View], View]:
    """Describe a view, whose docstring is the description; `takes` says which keys may call it.

    `answer` is a serializer, and `sent` are examples of bodies by their names.
    """

    def describe(view: View) -> View:
        of_key = [KEY_ID] if "key_id" in signature(view).parameters else []
        text = f"{' '.join((getdoc(view) or '').split())} {takes}".strip()
        example = OpenApiExample(
            "Example", value=_example(operation_id, answer.__name__), response_only=True
        )
        success = OpenApiResponse(answer, description=getdoc(answer) or "", examples=[example])
        bodies = [
            OpenApiExample(name, value=value, request_only=True, media_type=media_type)
            for name, value in (sent or {}).items()
            for media_type in JSON_TYPES
        ]
        described: View = extend_schema(
            operation_id=operation_id,
            summary=summary,
            description=text,
            tags=[tag],
            parameters=[*SHARED_HEADERS, *parameters, *of_key],
            responses={status: success, **error_responses(*EVERYWHERE, *errors)},
            examples=bodies,
            **more,
        )(view)
        return described

    return describe


def _example(operation_id: str, answer: str) -> Any:
    if example := EXAMPLES.get(operation_id) or EXAMPLES.get(answer):
        return example
    return {"object": "list", "data": [EXAMPLES[answer.removesuffix("List")]], "has_more": False}
