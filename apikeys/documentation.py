"""What the OpenAPI document says of the endpoints, apart from their code."""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema

from apikeys.serializers import AuthContext, IssuedKey, KeyRequest
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


EXAMPLE_KEY: Final = {
    "id": "key_3iS8wW2xYbC4",
    "object": "api_key",
    "name": "CI/CD Pipeline",
    "key": "rk_live_3iS8wW2x_…",
    "key_hint": "...9abc",
    "scopes": ["tests:read", "tests:write"],
    "created_at": "2026-03-11T10:30:00Z",
    "expires_at": None,
    "livemode": True,
}

EXAMPLE_CONTEXT: Final = {
    "key_id": "key_3iS8wW2xYbC4",
    "key_name": "CI/CD Pipeline",
    "scopes": ["tests:read", "tests:write"],
    "organization": {"id": "org_8Rt5kLmQ2vNz", "name": "Your Company", "plan": "team"},
    "usage": {"tests_this_month": 145, "tests_limit": 1000, "domains": 3, "domains_limit": 10},
    "livemode": True,
}

create_key = extend_schema(
    operation_id="create_key",
    summary="Create an API key",
    description="Makes a key of your organization, in the mode of the key that calls. The whole "
    "key is in this answer and nowhere else, ever: store it at once. Takes an unrestricted key, "
    "one that holds all eight scopes.",
    tags=["API keys"],
    parameters=SHARED_HEADERS,
    request=KeyRequest,
    responses={
        201: OpenApiResponse(
            IssuedKey,
            description="The key was made.",
            examples=[OpenApiExample("A key for CI", value=EXAMPLE_KEY, response_only=True)],
        ),
        **error_responses(*EVERYWHERE, *WITH_BODY, "insufficient_scope"),
    },
    examples=[
        OpenApiExample(
            "A key for CI",
            value={"name": "CI/CD Pipeline", "scopes": ["tests:read", "tests:write"]},
            request_only=True,
        )
    ],
)

auth_context = extend_schema(
    operation_id="get_auth_context",
    summary="Who is calling",
    description="Says whose key this is, what it may do and how much of the plan is used in the "
    "key's mode. Takes any key that works, whatever its scopes.",
    tags=["Authentication"],
    parameters=SHARED_HEADERS,
    responses={
        200: OpenApiResponse(
            AuthContext,
            description="The key works.",
            examples=[OpenApiExample("A live key", value=EXAMPLE_CONTEXT, response_only=True)],
        ),
        **error_responses(*EVERYWHERE),
    },
)
