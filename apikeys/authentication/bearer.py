"""Who is calling: the Authorization header, read as RFC 6750 §2.1 has it."""

from collections.abc import Mapping
from typing import Any, Final

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apikeys.authentication.admission import admit_caller
from apikeys.authentication.caller import Caller
from apikeys.authentication.simulation import refuse_as_asked
from apikeys.plaintext import is_well_formed
from apikeys.refusals import ApiKeyInvalid, ApiKeyMissing
from web.context import current
from web.errors.refusals import Refusal
from web.telemetry.metrics import count_authentication
from web.telemetry.security_log import failed_authentications

RIGHT_FORM: Final = "“Authorization: Bearer rk_live_…”"
NOT_ONE_KEY: Final = "The Authorization header is not the word Bearer and one API key."
WRAPPERS: Final = "\"'`<>{}[]()"
OTHER_HEADERS: Final = {"HTTP_API_KEY": "Api-Key", "HTTP_X_API_KEY": "X-Api-Key"}


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer rk_…` makes `request.user` a verified Caller."""

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        return authenticate(request.META), None

    def authenticate_header(self, request: Request) -> str:
        """Tell DRF that "no caller" is a 401 here; without it, DRF answers 403."""
        return ApiKeyMissing.challenge


def authenticate(environ: Mapping[str, Any]) -> Caller:
    """Return who calls, and count the call. `environ` is what a Django request calls META.

    Raises what `prove_caller` raises, and any other Refusal that a test key asked to rehearse.
    """
    caller = prove_caller(environ)
    refuse_as_asked(environ, caller)
    return caller


def prove_caller(environ: Mapping[str, Any]) -> Caller:
    """Return who calls, and count the call. Nothing can be rehearsed.

    Raises:
        ApiKeyMissing, ApiKeyInvalid, ApiKeyExpired, SecretEnded: if no key is proven.
        `organization_suspended`, IpNotAllowed: if the key is proven but may not call.
    """
    try:
        caller = _caller(environ)
    except Refusal as refusal:
        count_authentication(refusal.code)
        failed_authentications.count(refusal.code, current().address)
        raise
    count_authentication("ok")
    return caller


def _caller(environ: Mapping[str, Any]) -> Caller:
    header = environ.get("HTTP_AUTHORIZATION")
    if header is None:
        # The key may be in the header of another API.
        other = next((name for meta, name in OTHER_HEADERS.items() if meta in environ), "")
        fix = f"Send the key in the header {RIGHT_FORM}, not in {other}." if other else ""
        raise ApiKeyMissing(fix=fix)
    scheme, _, key = header.partition(" ")
    key = key.strip(" ")
    if scheme.lower() != "bearer" or not is_well_formed(key):
        fix = _fix_for_form(scheme, key)
        raise ApiKeyInvalid(NOT_ONE_KEY if fix else "", fix=fix)
    return admit_caller(key, now=timezone.now())


def _fix_for_form(scheme: str, key: str) -> str:
    """Return a text that names the mistake in the header's form, or "" if there is none.

    It looks at the form only and never asks if a key is known, so it tells a stranger nothing.
    """
    is_bearer, bare = scheme.lower() == "bearer", key.strip(WRAPPERS)
    mistakes = (
        (not scheme, f"The Authorization header is empty, or not plain ASCII. Send {RIGHT_FORM}."),
        (scheme.startswith("rk_") and not key, "Put the word Bearer and a space before the key."),
        (
            not is_bearer and scheme.lower().startswith("bearer"),
            "Put one space, and nothing else, between Bearer and the key.",
        ),
        (not is_bearer, f"This API takes no other scheme than Bearer. Send {RIGHT_FORM}."),
        (not key, "Put the key after the word Bearer."),
        (key[:7].lower() == "bearer ", "The word Bearer stands twice: once is right."),
        (" " in key or "," in key, "Send one key, in one Authorization header."),
        (
            bare != key and bare.startswith("rk_"),
            "Take away the quotes or brackets around the key.",
        ),
        (
            bare != key or key.startswith("$"),
            "This is a placeholder: put the key itself in its place.",
        ),
        (
            key.startswith("key_"),
            "This is a key's id. The key itself begins with rk_live_ or rk_test_.",
        ),
    )
    return next((fix for is_made, fix in mistakes if is_made), "")
