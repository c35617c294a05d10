"""Rule files that let secret scanners find our keys, from one table: scanner_rules.toml."""

import tomllib
from pathlib import Path
from typing import Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import conditional_page, require_safe

from web.redaction import KEY_SHAPE

RULE_FILES: Final[dict[str, dict[str, str]]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text()
)


@require_safe
@conditional_page
def rule_file(request: HttpRequest, tool: str) -> HttpResponse:
    """Return the file of this tool. Raise Http404 if there is none."""
    if tool not in RULE_FILES:
        raise Http404
    row = RULE_FILES[tool]
    text = row["text"].replace("{shape}", KEY_SHAPE).replace("{url}", settings.PUBLIC_URL)
    # text/plain, because browsers only download TOML and YAML.
    response = HttpResponse(text, "text/plain; charset=utf-8")
    response["Content-Disposition"] = f'inline; filename="{row["file"]}"'
    return response
