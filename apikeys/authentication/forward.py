"""Forward authentication: a gateway asks if a client's request may pass. See docs/gateways.md.

There is an address for each family of gateways, and each address reads only its family's headers.
`environ` is what a Django request calls META.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.handlers.wsgi import get_path_info
from django.utils import timezone

from apikeys.authentication.bearer import prove_caller
from apikeys.authentication.caller import Caller
from apikeys.authentication.scope_use import exercise
from apikeys.refusals import InsufficientScope
from apikeys.scopes import clean_scopes
from web.context import current
from web.environ import MOST_BODY_BYTES
from web.errors import refusals
from web.errors.refusals import Faults, OfCatalogue, ParameterInvalid, Refusal
from web.input.fields import refuse_unknown
from web.json_bytes import to_json
from web.proxies import FORWARD_AUTH_PATH, GATEWAY, Fields, read_fields
from web.redaction import holds_key
from web.rules import refuse_unreadable_header

ENVOY: Final = "envoy"  # Method, query and the path behind it are the client's own.
# The headers that describe the client's request at the other addresses.
HEADERS: Final = {
    "forward": ("X-Forwarded-Method", "X-Forwarded-Uri"),
    "nginx": ("X-Original-Method", "X-Original-URI"),
}
REQUIRE_HEADER: Final = "ReachScore-Require"
SCOPE_TERMS: Final = ("require", "read", "write")
# What a question may say, with the values that are allowed; None: others are checked later.
REQUIREMENT: Final = {**dict.fromkeys(SCOPE_TERMS), "mode": ("live", "test")}
IN_QUERY: Final = {**REQUIREMENT, "style": ("nginx",)}
DESCRIPTION: Final = {"method": None, "uri": None}
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")


class Question(NamedTuple):
    """The client's request, the place that tells its method, and what its key must have.

    `scopes` are by `require`, or by `read` and `write`.
    """

    method: str
    method_place: str
    uri: str
    scopes: dict[str, list[str]]
    mode: str | None


def authorize(environ: dict[str, Any]) -> dict[str, str]:
    """Return the headers of the 200 that lets the client's request pass. Counts as one request.

    Raises Refusal if it may not pass, and if what is required cannot be read exactly.
    """
    refuse_unreadable_header()
    if settings.AUTHZ_REQUIRES_GATEWAY_TOKEN and current().gateway is None:
        raise OfCatalogue("gateway_token_required")
    if int(environ.get("CONTENT_LENGTH") or 0) > MOST_BODY_BYTES:
        message = f"A body is dropped up to {MOST_BODY_BYTES} bytes, and this one is larger."
        raise OfCatalogue("request_too_large", message, fix="Ask without the client's body.")
    question = _question(environ)
    if holds_key(question.uri.replace("+", " ")):
        raise OfCatalogue("api_key_in_url")
    scopes = _required_scopes(question)
    caller = prove_caller(environ)
    if (mode := question.mode) and caller.livemode != (mode == "live"):
        raise OfCatalogue("mode_not_allowed", f"This takes a key of {mode} mode.")
    if scopes is None or not set(scopes) <= set(caller.scopes):
        what = f"a key with the scope {' and '.join(scopes)}" if scopes else "another method"
        raise InsufficientScope(f"This takes {what}.", required=scopes or (), granted=caller.scopes)
    caller.require_rate(now=timezone.now())
    exercise(caller.key_id, scopes)
    return _identity(caller)


def for_gateway(refusal: Refusal, environ: dict[str, Any]) -> Refusal:
    """Add the reason to a refusal. With `style=nginx`, change a status that nginx cannot pass on.

    nginx answers 500 if `auth_request` gets any status but 2xx, 401 and 403.
    """
    refusal.headers["ReachScore-Reason"] = refusal.code
    if refusal.status not in (401, 403) and _address(environ) in HEADERS:
        query = parse_qsl(environ.get("QUERY_STRING", ""))
        refusal.status = 403 if ("style", "nginx") in query else refusal.status
    return refusal


def _address(environ: dict[str, Any]) -> str:
    """Return the path after /v1/authz/, without the client's own."""
    address = get_path_info(environ).removeprefix(FORWARD_AUTH_PATH)
    return ENVOY if address.startswith(f"{ENVOY}/") else address


def _question(environ: dict[str, Any]) -> Question:
    """Read the question where its address has it. Raise a Refusal for a requirement elsewhere."""
    address, required = _address(environ), environ.get("HTTP_REACHSCORE_REQUIRE")
    fields: Fields = current().gateway or ()
    if required is not None and (address != ENVOY or settings.GATEWAY_TOKENS):
        message = f"{REQUIRE_HEADER} is read at /v1/authz/envoy only, if there is no GATEWAY_TOKEN."
        raise refusals.ParameterUnknown(message, field=REQUIRE_HEADER)
    if address == ENVOY:
        if required is not None:
            fields = read_fields(required)
        url = f"{get_path_info(environ)}?{environ.get('QUERY_STRING', '')}"
        return Question(environ["REQUEST_METHOD"], "method", url, *_requirement(fields))
    if address not in HEADERS:
        raise refusals.ResourceNotFound("No gateway asks at this path.")
    required_here = _requirement(environ.get("QUERY_STRING", ""))
    if settings.GATEWAY_TOKENS:
        told = _once(fields, DESCRIPTION)
        return Question(told.get("method", ""), GATEWAY, told.get("uri", ""), *required_here)
    of_method, of_uri = HEADERS[address]
    method, uri = (environ.get(f"HTTP_{n.upper().replace('-', '_')}") for n in HEADERS[address])
    if uri is not None and not uri.strip():  # granian passes a value that is not ASCII as "".
        raise ParameterInvalid(f"{of_uri} is empty or not plain ASCII.", field=of_uri)
    return Question(method or "", of_method, uri or "", *required_here)


def _once(
    pairs: Iterable[tuple[str, str]], known: Mapping[str, Sequence[str] | None]
) -> dict[str, str]:
    """Return the pairs by name. Raise a Refusal for an unknown or repeated one."""
    found, faults = dict[str, str](), Faults()
    for name, value in pairs:
        with faults.noted():
            refuse_unknown(name, known, noun="parameter")
            if name in found:
                raise ParameterInvalid(f"{name} must be given once.", field=name)
            allowed = known[name]
            if allowed and value not in allowed:
                raise ParameterInvalid(f"{name} must be {' or '.join(allowed)}.", field=name)
            found[name] = value
    faults.refuse()
    return found


@lru_cache(maxsize=100)  # A gateway's routes have few. Refusals are not cached.
def _requirement(told: str | Fields) -> tuple[dict[str, list[str]], str | None]:
    """Read scopes and mode from a query or from fields. Raise a Refusal unless they are exact."""
    if isinstance(told, str):
        terms = _once(parse_qsl(told, keep_blank_values=True), IN_QUERY)
    else:
        terms = _once(told, REQUIREMENT)
    scopes: dict[str, list[str]] = {}
    for name in set(SCOPE_TERMS) & set(terms):
        wanted = terms[name].split(",")
        scopes[name] = clean_scopes(wanted, field=name)
        if len(wanted) > len(scopes[name]):
            raise ParameterInvalid(f"{name} names a scope twice.", field=name)
    if "require" in scopes and len(scopes) > 1:
        message = "require cannot be given together with read or write."
        raise ParameterInvalid(message, field="require")
    return scopes, terms.get("mode")


def _required_scopes(question: Question) -> list[str] | None:
    """Return the scopes that the client's request takes; None if no key may send it."""
    scopes = question.scopes
    if not scopes or "require" in scopes:
        return scopes.get("require", [])
    if not _METHOD.fullmatch(question.method):
        place = question.method_place
        message = f"read and write take the client's method, once and in capitals, from {place}."
        raise ParameterInvalid(message, field=place)
    return scopes.get("read" if question.method in ("GET", "HEAD") else "write")


def _identity(caller: Caller) -> dict[str, str]:
    """Return the caller as headers, always all of them. Never put a customer's text into one."""
    identity = {
        "organization": caller.organization_id,
        "key": caller.key_id,
        "livemode": caller.livemode,
        "plan": caller.plan,
        "scopes": caller.scopes,
    }
    principal = to_json({"version": 1, **identity})
    return {
        "ReachScore-Organization": caller.organization_id,
        "ReachScore-Key": caller.key_id,
        "ReachScore-Livemode": "true" if caller.livemode else "false",
        "ReachScore-Plan": caller.plan,
        "ReachScore-Scopes": " ".join(caller.scopes),
        "ReachScore-Principal": base64.urlsafe_b64encode(principal).decode(),
    }
