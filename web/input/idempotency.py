"""The `Idempotency-Key` header, which makes a retried POST idempotent."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from rest_framework.request import Request

from web.errors.refusals import ContainsApiKey, ParameterInvalid
from web.redaction import holds_key

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
# The header is a bare text or a string of RFC 8941, as in the IETF's draft.
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_PRINTABLE: Final = re.compile(r"[ -~]{1,255}")
# For the OpenAPI document: the bare form has no space at its ends and no quote in front.
FORM: Final = r"^[!#-~](?:[ -~]{0,253}[!-~])?$"


def idempotency_token(request: Request) -> str | None:
    """Return the header's value without quotes, or None if there is no such header.

    Raises:
        ParameterInvalid: it is not 1 to 255 characters of printable ASCII.
        ContainsApiKey: it holds an API key.
    """
    header = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return None
    token: str = header.strip(" ")
    if token.startswith('"'):
        quoted = _QUOTED.fullmatch(token)
        token = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    if not _PRINTABLE.fullmatch(token):
        message = f"{HEADER} must have 1 to 255 characters of printable ASCII, bare or in quotes."
        fix = "Send a new random value, such as a UUID, with each new request."
        raise ParameterInvalid(message, fix=fix, field=HEADER)
    if holds_key(token):
        raise ContainsApiKey(f"{HEADER} holds an API key.", field=HEADER)
    return token


def fingerprint(request: Request, body: Mapping[str, Any]) -> bytes:
    """Return a SHA-256 of method, path and body; the spacing of the JSON does not matter."""
    canonical = json.dumps([request.method, request.path, body], sort_keys=True)
    return hashlib.sha256(canonical.encode()).digest()
