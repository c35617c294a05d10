"""What the OpenAPI document says of the API as a whole: drf-spectacular's settings."""

import tomllib
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).resolve().parent.parent / "pyproject.toml"
DESCRIPTION: Final = """\
Every request carries a key: `Authorization: Bearer rk_live_…` for real data, `rk_test_…` for the \
sandbox. **Keys belong on servers:** everybody who opens a web page can read what its scripts \
send. So no page of another origin can call this API (CORS), but it can read this document.

Every error has one shape, and its `code` is explained on the [error page]({url}/docs/errors). \
Fields, codes and values may be added at any time: ignore what you do not know.

With a test key, the header `ReachScore-Simulate: <code>` rehearses an error: the answer is that \
error, and nothing is done.
"""
TAGS: Final = (
    ("Authentication", "Who is calling, and what the key may do.", "quickstart"),
    ("API keys", "Make, look at, change, rotate and revoke keys.", "keys"),
    ("Usage", "What is used of the plan.", "limits"),
)


def describe_api(public_url: str) -> dict[str, Any]:
    """Return drf-spectacular's settings. The version is that of the release."""
    guides = f"{public_url}/docs/guides"
    return {
        "TITLE": "ReachScore API",
        "VERSION": tomllib.loads(PROJECT.read_text())["project"]["version"],
        "DESCRIPTION": DESCRIPTION.replace("{url}", public_url),
        "CONTACT": {"name": "ReachScore", "url": f"{public_url}/docs"},
        "EXTERNAL_DOCS": {"description": "Guides", "url": f"{public_url}/docs"},
        "SERVERS": [{"url": public_url}],
        "TAGS": [
            {"name": name, "description": text, "externalDocs": {"url": f"{guides}/{guide}"}}
            for name, text, guide in TAGS
        ],
        "OAS_VERSION": "3.1.0",
        "SCHEMA_PATH_PREFIX": "/v1",
        "POSTPROCESSING_HOOKS": ["web.output.openapi_hook.share_repeats"],
        "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
        "COMPONENT_SPLIT_PATCH": False,  # Its names would begin with Patched.
        "SORT_OPERATION_PARAMETERS": False,
        "SORT_OPERATIONS": False,  # In the order of the URLs: create, use, rotate, revoke.
    }
