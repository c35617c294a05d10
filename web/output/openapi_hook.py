"""The postprocessing hook of the OpenAPI document: it completes responses and shares repeats.

drf-spectacular writes every response, header and parameter out at each operation.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings

from web.errors.catalogue import CATALOGUE
from web.output.openapi import NAMED, PARAMETER_EXAMPLES, SHARED

METHODS: Final = ("post", "get", "patch", "delete")  # In this order in the document.


def _headers(codes: Sequence[str]) -> list[str]:
    """Return the names of the headers that a response may have: of these errors, or a success."""
    stages = {CATALOGUE[code].before for code in codes} or {""}
    names = [name for name, of in SHARED["headers_of"].items() if {*codes, *stages} & set(of)]
    if "key_not_active" in codes:  # A key with an end changes only itself, which is active.
        names.remove("ReachScore-Key-Expires-At")
    return names


def _error(code: str, **more: Any) -> dict[str, Any]:
    problem = CATALOGUE[code]
    error = {
        "type": problem.type,
        "code": code,
        "message": problem.message,
        "fix": problem.fix,
        "doc_url": f"{settings.PUBLIC_URL}/docs/errors#{code}",
        "request_id": SHARED["headers"]["Request-Id"]["example"],
    }
    return {"value": {"error": error | more}}


def _complete(response: dict[str, Any], *, is_public: bool) -> str:
    """Add headers, and examples if it is an error; return the name that it may be shared under.

    That is its schema's; of an error its last code, or its status if every endpoint has it.
    """
    codes = re.findall(r"`(\w+)`", response["description"])
    own = response.get("headers", {})
    names = [n for n in _headers(codes) if not (is_public and n in SHARED["of_callers"])]
    response["headers"] = {**{name: SHARED["headers"][name] for name in names}, **own}
    media = response.get("content", {}).get("application/json", {})
    if not codes:
        schema = media.get("schema", {}).get("$ref", response["description"])
        return str(schema).rpartition("/")[2]
    special = [code for code in codes if code not in SHARED["everywhere"]]
    shown = {
        title: _error(**example)
        for title, example in SHARED["error_examples"].items()
        if example["code"] in (special or codes)
    }
    media |= {"examples": shown} if shown else {}
    phrase = HTTPStatus(CATALOGUE[codes[-1]].status).phrase.replace(" ", "")
    return special[-1].title().replace("_", "") if special else phrase


def share_repeats(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Complete the responses of all operations, and move what repeats into components."""
    components, paths = result["components"], result["paths"]
    schemas = components["schemas"] | NAMED
    for name, base in SHARED["extends"].items():
        whole, of_base = schemas[name], schemas[base]["properties"]
        more = {each: part for each, part in whole["properties"].items() if each not in of_base}
        required = [each for each in more if each in whole["required"]]
        own = {"type": "object", "properties": more, "required": required}
        both = [{"$ref": f"#/components/schemas/{base}"}, own]
        schemas[name] = {"description": whole["description"], "allOf": both}
    components["schemas"] = schemas

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
            is_public = not operation.setdefault("security", [])
            examples = operation.pop(PARAMETER_EXAMPLES, {})
            for number, part in enumerate(operation.get("parameters", [])):
                if part["name"] in examples:
                    part["example"] = examples[part["name"]]
                parameters.append((operation["parameters"], number, part["name"]))
            operation["responses"]["default"] = deepcopy(SHARED["default"])
            for status, response in operation["responses"].items():
                name = _complete(response, is_public=is_public)
                name = "OtherError" if status == "default" else name
                responses.append((operation["responses"], status, name))
    share("parameters", parameters)
    share("responses", responses)
    whole = [container[key] for container, key, _ in responses if "$ref" not in container[key]]
    whole += components["responses"].values()
    share("headers", [(part["headers"], name, name) for part in whole for name in part["headers"]])
    media = [media for part in whole for media in part.get("content", {}).values()]
    groups = [each["examples"] for each in media if "examples" in each]
    share("examples", [(group, title, title) for group in groups for title in group])
    return result
