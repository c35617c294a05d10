"""The OpenAPI document with every reference resolved, so that tests can look into it."""

from typing import Any

from django.test import Client


def fetch_document() -> dict[str, Any]:
    document: dict[str, Any] = Client().get("/v1/openapi.json").json()
    return document


def resolved(part: Any, document: dict[str, Any]) -> Any:
    """Return a part of the document without `$ref` and `allOf`; what is beside them wins."""
    if isinstance(part, list):
        return [resolved(each, document) for each in part]
    if not isinstance(part, dict):
        return part
    rest = {name: value for name, value in part.items() if name not in ("$ref", "allOf")}
    bases = list(part.get("allOf", []))
    if "$ref" in part:
        _, section, name = part["$ref"].removeprefix("#/").split("/")
        bases.append(document["components"][section][name])
    whole: dict[str, Any] = {}
    for more in [
        *(resolved(base, document) for base in bases),
        {name: resolved(value, document) for name, value in rest.items()},
    ]:
        for name, value in more.items():
            joined = whole[name] | value if name == "properties" and name in whole else value
            if name == "required" and isinstance(value, list):
                joined = [*whole.get(name, []), *value]
            whole[name] = joined
    return whole
