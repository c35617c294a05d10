"""What the OpenAPI document says of the API as a whole: drf-spectacular's settings."""

import json
import tomllib
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent


def describe_api(public_url: str) -> dict[str, Any]:
    """Return the settings of api_document.json for this address, with the release's version."""
    text = HERE.joinpath("api_document.json").read_text().replace("{url}", public_url)
    project = tomllib.loads(HERE.parent.joinpath("pyproject.toml").read_text())["project"]
    return {**json.loads(text), "VERSION": project["version"]}
