"""The postprocessing hook of the OpenAPI document: it completes responses and shares repeats.

drf-spectacular writes every response, header and parameter out at each operation.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from web.errors.catalogue import CATALOGUE
from web.output.openapi import BY_DEFAULT, EVERYWHERE, PARAMETER_EXAMPLES, listed

METHODS: Final = ("post", "get", "patch", "delete")  # In this order in the document.
EXAMPLE_REQUEST_ID: Final = "req_7Hq2mVb9TzXc"
# Refusals that say more than the error page.
ERROR_EXAMPLES: Final[dict[str, dict[str, Any]]] = json.loads(
    Path(__file__).with_name("error_examples.json").read_text()
)


def _header(description: str, example: object, **schema: str) -> dict[str, Any]:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "schema": {"type": kind, **schema}, "example": example}


HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Request-Id": _header(
        "Identifies this request, for support. Your own Request-Id is used if it is 8 to 64 "
        "characters of `[A-Za-z0-9_-]`, else a new one is made.",
        EXAMPLE_REQUEST_ID,
    ),
    "RateLimit-Limit": _header(
        "The plan's requests per minute, for all keys of this mode together. This and the next two "
        "are missing if the plan has no limit, and if the request was refused before it counted.",
        120,
    ),
    "RateLimit-Remaining": _header("How many are left in this minute.", 119),
    "RateLimit-Reset": _header("The Unix time at which the next minute begins.", 1773225060),
    "ReachScore-Key-Expires-At": _header(
        "When the key, or a secret that is being rotated out, expires; sent in its last 30 days.",
        "2026-04-01T00:00:00Z",
        format="date-time",
    ),
    "WWW-Authenticate": _header(
        "The challenge of RFC 6750; with `insufficient_scope`, the scopes that the request needs.",
        'Bearer realm="ReachScore", error="invalid_token"',
    ),
    "Retry-After": _header("Seconds to wait before trying again.", 5),
}


def _headers(codes: Sequence[str]) -> list[str]:
    """Return the names of the headers that a response may have: of these errors, or a success."""
    problems = [CATALOGUE[code] for code in codes]
    proven = not codes or any(problem.before != "proof" for problem in problems)
    counted = not codes or any(not problem.before for problem in problems)
    waits = {"rate_limit_exceeded", "temporarily_unavailable", "idempotency_in_progress"}
    has = {
        "RateLimit": counted,
        "ReachScore": proven and "key_not_active" not in codes,
        "WWW": "insufficient_scope" in codes or "api_key_invalid" in codes,
        "Retry": not waits.isdisjoint(codes),
    }
    return [name for name in HEADERS if has.get(name.partition("-")[0], True)]


OTHERS: Final = {
    "description": f"Any other error: {listed(BY_DEFAULT)}, and what may come.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ApiError"}}},
}


def _error(code: str, **more: Any) -> dict[str, Any]:
    problem = CATALOGUE[code]
    error = {
        "type": problem.type,
        "code": code,
        "message": problem.message,
        "fix": problem.fix,
        "doc_url": f"{settings.PUBLIC_URL}/docs/errors#{code}",
        "request_id": EXAMPLE_REQUEST_ID,
    }
    if "field" in more and problem.status == HTTPStatus.BAD_REQUEST:
        fault = {"field": more["field"], "code": code, "message": more["message"]}
        more["errors"] = [{**fault, "fix": problem.fix}]
    return {"value": {"error": error | more}}


def _complete(response: dict[str, Any]) -> str:
    """Add headers, and examples if it is an error; return the name that it may be shared under.

    That is its schema's; of an error its last code, or its status if every endpoint has it.
    """
    codes = re.findall(r"`(\w+)`", response["description"])
    own = response.get("headers", {})
    response["headers"] = {**{name: HEADERS[name] for name in _headers(codes)}, **own}
    media = response.get("content", {}).get("application/json", {})
    if not codes:
        schema = media.get("schema", {}).get("$ref", response["description"])
        return str(schema).rpartition("/")[2]
    special = [code for code in codes if code not in EVERYWHERE]
    shown = {
        title: _error(**example)
        for title, example in ERROR_EXAMPLES.items()
        if example["code"] in (special or codes)
    }
    media |= {"examples": shown} if shown else {}
    phrase = HTTPStatus(CATALOGUE[codes[-1]].status).phrase.replace(" ", "")
    return special[-1].title().replace("_", "") if special else phrase


def share_repeats(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Complete the responses of all operations, and move what repeats into components."""
    components, paths = result["components"], result["paths"]

    def share(section: str, places: Iterable[tuple[Any, Any, str]]) -> None:
        """Replace repeated parts by references; a place is a container, a key and a name."""
        found = [(container, key, name, str(container[key])) for container, key, name in places]
        times = Counter(text for *_, text in found)
        shared = components.setdefault(section, {})
        for container, key, name, text in found:
            part = container[key]
            if times[text] > 1 and shared.setdefault(name, part) == part:
                container[key] = {"$ref": f"#/components/{section}/{name}"}

    parameters, responses = [], []
    for path, methods in paths.items():
        paths[path] = {method: methods[method] for method in METHODS if method in methods}
        for operation in paths[path].values():
            examples = operation.pop(PARAMETER_EXAMPLES, {})
            for number, part in enumerate(operation.get("parameters", [])):
                if part["name"] in examples:
                    part["example"] = examples[part["name"]]
                parameters.append((operation["parameters"], number, part["name"]))
            for status, response in operation["responses"].items():
                responses.append((operation["responses"], status, _complete(response)))
            operation["responses"]["default"] = deepcopy(OTHERS)
            _complete(operation["responses"]["default"])
            responses.append((operation["responses"], "default", "OtherError"))
    share("parameters", parameters)
    share("responses", responses)
    whole = [container[key] for container, key, _ in responses if "$ref" not in container[key]]
    whole += components["responses"].values()
    share("headers", [(part["headers"], name, name) for part in whole for name in part["headers"]])
    media = [media for part in whole for media in part.get("content", {}).values()]
    examples = [
        (each["examples"], title, title) for each in media for title in each.get("examples", ())
    ]
    share("examples", examples)
    return result
