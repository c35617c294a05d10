"""Every error code of the API, with what /docs/errors says. docs/changing.md: how to add one."""

from dataclasses import dataclass
from typing import Final, Literal

TYPE_BY_STATUS: Final = {
    401: "authentication_error",
    403: "authorization_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
}

# web.input.body refuses more. deploy/nginx.conf and docs/security.md repeat the number.
MOST_API_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Problem:
    """The status, default message and default fix of an error code."""

    status: int
    message: str
    fix: str
    is_rehearsable: bool = True  # By ReachScore-Simulate with a test key.
    # It comes before the key is proven, or before the request is counted. Such an answer has no
    # RateLimit headers, and before the proof no ReachScore-Key-Expires-At.
    before: Literal["proof", "count", ""] = ""

    @property
    def type(self) -> str:
        """The contract's error type, a coarse class of the status for clients to branch on."""
        return TYPE_BY_STATUS.get(self.status, "invalid_request_error")


CATALOGUE: Final[dict[str, Problem]] = {
    # Who is calling
    "api_key_missing": Problem(
        401,
        "This request carries no API key.",
        "Send the header “Authorization: Bearer rk_live_…”.",
        is_rehearsable=False,  # ReachScore-Simulate needs a key.
        before="proof",
    ),
    "api_key_invalid": Problem(
        401,
        "This API key does not work: it is unknown, mistyped or revoked.",
        "Check that the whole key was copied, 55 characters from rk_ on. If it was, the key has "
        "been revoked or was never issued here: use another one.",
        before="proof",
    ),
    "api_key_expired": Problem(
        401,
        "This API key has expired.",
        "Use a newer secret of this key or another key; an expired one never works again.",
        before="proof",
    ),
    "api_key_in_url": Problem(
        400,
        "An API key was sent in the URL, where logs and histories keep it.",
        "Treat that key as exposed: revoke it, make a new one, and send it only in the "
        "Authorization header. To name a key in a URL, use its id, key_….",
        before="proof",
    ),
    "signature_invalid": Problem(
        401,
        "This report of leaked keys is not signed by the service whose header it carries.",
        "Sign the body as it is sent, with a published key. Finders use POST /v1/revoke_exposed.",
        is_rehearsable=False,
        before="proof",
    ),
    "https_required": Problem(
        400,
        "This request came over plain HTTP, where others can read it.",
        "Use https://. If an API key was sent, treat it as exposed: rotate it, or revoke it and "
        "make a new one.",
        before="proof",
    ),
    # What the caller may do
    "insufficient_scope": Problem(
        403, "This API key lacks a scope that the request needs.", "Use a key that holds the scope."
    ),
    "exceeds_caller": Problem(
        403,
        "The calling key cannot give more than it has: no other scope, later expiry, other address "
        "or larger monthly share. A key with limits of its own cannot change or rotate other keys.",
        "Ask for no more than the calling key has, or use a key without limits.",
    ),
    "mode_not_allowed": Problem(
        403,
        "This takes a key of the other mode.",
        "Use a live key (rk_live_…) or a test key (rk_test_…), as the message says.",
        is_rehearsable=False,  # A test key gets it in earnest.
    ),
    "staff_only": Problem(
        403,
        "Only our staff may do this, so that nobody can with a stolen key.",
        "Ask our staff, through support. They make sure that it is you without an API key.",
    ),
    "gateway_token_required": Problem(
        403,
        "Only gateways of this service may ask here.",
        "Call the API through its public address. Operators: the gateway must send "
        "ReachScore-Gateway with a token of GATEWAY_TOKEN, as docs/gateways.md says.",
        is_rehearsable=False,
    ),
    "ip_not_allowed": Problem(
        403,
        "This API key may not be used from this address.",
        "Call from an address in the key's allowed_ips, or have an unrestricted key add this one.",
        before="count",
    ),
    "key_limit_reached": Problem(
        403,
        "The organization has as many active keys of this mode as its plan allows.",
        "Revoke keys that are not used (GET /v1/keys?status=active&unused_for_days=90 lists them), "
        "or contact support.",
    ),
    "quota_exceeded": Problem(
        403,
        "The plan's allowance is used up. Nothing was done.",
        "Use a larger plan, or wait until “resets_at”. If that is null, waiting does not help.",
    ),
    "organization_suspended": Problem(
        403,
        "The organization of this API key is suspended.",
        "Contact support. Once the organization is resumed, its keys work again.",
        before="count",
    ),
    # What was asked
    "missing_required_field": Problem(
        400, "A required field is missing.", "Add the field named in “field” and send it again."
    ),
    "parameter_unknown": Problem(
        400,
        "The request has a field or parameter that this endpoint does not know.",
        "Remove it, or correct its name.",
    ),
    "parameter_invalid": Problem(
        400, "A field has a value that is not allowed.", "Change the field as the message says."
    ),
    "contains_api_key": Problem(
        400,
        "A text field holds an API key.",
        "Remove the key from the text. If others could read it, rotate or revoke that key.",
    ),
    "invalid_json": Problem(
        400,
        "The request body is not a JSON object.",
        "Send one JSON object in UTF-8, without duplicate names.",
    ),
    "request_invalid": Problem(
        400,
        "The request could not be understood.",
        "Check the URL and the headers.",
        before="proof",
    ),
    "host_not_allowed": Problem(
        400,
        "The Host header names a host that is not this service.",
        "Use the address that the documentation names. Operators: add the name to ALLOWED_HOSTS.",
        before="proof",
    ),
    "resource_not_found": Problem(
        404,
        "There is nothing at this path.",
        "Check the path and the id. Live and test keys do not see each other's objects.",
    ),
    "method_not_allowed": Problem(
        405,
        "This path does not support this method.",
        "Use one of the methods in the Allow header.",
        before="proof",
    ),
    "not_acceptable": Problem(
        406,
        "This API answers in JSON only.",
        "Send “Accept: application/json”, or no Accept header.",
        before="proof",
    ),
    "length_required": Problem(
        411,
        "The request has no body, or does not say how long it is.",
        "Send a JSON body with a Content-Length header, as curl -d does, and not chunked.",
    ),
    "request_too_large": Problem(
        413, f"The request body is larger than {MOST_API_BYTES // 1024} KiB.", "Send less at once."
    ),
    "unsupported_media_type": Problem(
        415, "The request body is not declared as JSON.", "Send “Content-Type: application/json”."
    ),
    # How often
    "rate_limit_exceeded": Problem(
        429,
        "The organization made more requests this minute than its plan allows in this mode.",
        "Wait as many seconds as the Retry-After header says, then send the request again.",
    ),
    # The sandbox
    "simulate_in_live_mode": Problem(
        400,
        "ReachScore-Simulate was sent with a live key.",
        "Use a test key, rk_test_…, to rehearse errors.",
        is_rehearsable=False,
    ),
    "simulate_unknown_code": Problem(
        400,
        "The value of ReachScore-Simulate is not the code of an error that can be simulated.",
        "Send a code for which the error page shows a curl command.",
        is_rehearsable=False,
    ),
    # What was done before
    "key_not_active": Problem(
        409,
        "This key is revoked or expired, and cannot be changed.",
        "Make a new key: POST /v1/keys.",
    ),
    "idempotency_key_reused": Problem(
        409,
        "This Idempotency-Key was sent with another request.",
        "Send a new value with each new request. Reuse a value only to retry the same request.",
    ),
    "idempotency_in_progress": Problem(
        409,
        "A request with this Idempotency-Key is still being carried out.",
        "Wait a second, then send it again.",
    ),
    "idempotency_secret_used": Problem(
        409,
        "The secret that this request issued has been used or replaced, so it cannot be shown "
        "again. Nothing was changed.",
        "If you have the secret, there is nothing to do. If it is lost, rotate the key.",
    ),
    # Our fault
    "temporarily_unavailable": Problem(
        503,
        "The service cannot answer just now.",
        "Wait as many seconds as the Retry-After header says, then send the request again.",
    ),
    "internal_error": Problem(
        500,
        "Something went wrong on our side. It has been logged.",
        "Try again. If it keeps happening, tell support the request id.",
    ),
}
