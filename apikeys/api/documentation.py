"""How the OpenAPI document describes an endpoint."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from inspect import getdoc, signature
from pathlib import Path
from typing import Any, Final, TypeVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from web.input.idempotency import FORM, HEADER, REPLAYED_HEADER
from web.output.openapi import PARAMETER_EXAMPLES, error_responses, header


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """`BearerAuthentication` in OpenAPI's words."""

    target_class = "apikeys.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key: `Authorization: Bearer rk_live_…` or `rk_test_…`. Never "
            "in the URL.",
        }


# Of answers by operation, and of parameters by name.
EXAMPLES: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("examples.json").read_text())
GUIDES: Final = f"{settings.PUBLIC_URL}/docs/guides"

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
OF_A_CHANGE: Final = ("exceeds_caller", "key_not_active")
OF_A_CREATION: Final = (
    "idempotency_in_progress",
    "idempotency_secret_used",
    "idempotency_key_reused",
    "insufficient_scope",
    "exceeds_caller",
    "key_limit_reached",
)
NO_FIELDS: Final = {"type": "object", "additionalProperties": False}
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
    guide: str = "",
    sent: Mapping[str, Any] | None = None,
    **more: Any,
) -> Callable[[View], View]:
    """Describe a view, whose docstring is the description; `takes` says which keys may call it.

    `answer` is a serializer, `guide` a guide under /docs/guides if it is another than the tag's,
    and `sent` are examples of bodies by their names. A view of `key_id` has OF_A_KEY in `errors`.
    """

    def describe(view: View) -> View:
        is_of_key = "key_id" in signature(view).parameters
        text = f"{' '.join((getdoc(view) or '').split())} {takes}".strip()
        example = OpenApiExample("Example", value=_example(operation_id), response_only=True)
        success = OpenApiResponse(answer, description=HTTPStatus(status).phrase, examples=[example])
        bodies = [OpenApiExample(n, value=v, request_only=True) for n, v in (sent or {}).items()]
        parameter_examples = EXAMPLES["parameters"]
        if tag == "Events":
            parameter_examples = parameter_examples | EXAMPLES["parameters of events"]
        codes = (*OF_A_KEY, *errors) if is_of_key else errors
        refusals = error_responses(*codes, is_public=more.get("auth") == [])
        return extend_schema(
            operation_id=operation_id,
            summary=summary,
            description=text,
            tags=[tag],
            parameters=[KEY_ID, *parameters] if is_of_key else list(parameters),
            responses={status: success, **refusals},
            examples=bodies,
            external_docs=f"{GUIDES}/{guide}" if guide else None,
            extensions={PARAMETER_EXAMPLES: parameter_examples},
            **more,
        )(view)

    return describe


def _example(operation_id: str) -> Any:
    """Return the operation's answer; `like` names another one that it changes."""
    example: dict[str, Any] = dict(EXAMPLES[operation_id])
    return {**EXAMPLES[example.pop("like")], **example} if "like" in example else example
