"""The `Idempotency-Key` header, by which a client says that it is sending a request again."""

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
# Bare, or a string of RFC 8941 as the IETF's draft has it.
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_PRINTABLE: Final = re.compile(r"[ -~]{1,255}")
# For the OpenAPI document: the bare form, whose ends are no spaces and whose first is no quote.
FORM: Final = r"^[!#-~](?:[ -~]{0,253}[!-~])?$"


def idempotency_token(request: Request) -> str | None:
    """Return what the header says, without its quotes; None where there is none.

    Raises ParameterInvalid for anything but 1 to 255 characters of printable ASCII, ContainsApiKey.
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
    """Return 32 bytes that are the same for the same request, however its JSON is spaced."""
    canonical = json.dumps([request.method, request.path, body], sort_keys=True)
    return hashlib.sha256(canonical.encode()).digest()
