"""How an answer becomes bytes."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from django.http import HttpResponse

CONTENT_TYPE: Final = "application/json"


def json_response(
    data: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Answer with an object of plain Python: dictionaries, lists, texts, numbers, dates.

    DRF's Response would do the same by way of a template response, a renderer and a new encoder.
    """
    return HttpResponse(
        _to_json(data).encode(), content_type=CONTENT_TYPE, status=status, headers=headers
    )


def _plain(value: Any) -> str:
    """Raises TypeError for what the contract knows no form of."""
    if type(value) is date:
        return value.isoformat()
    raise TypeError(f"No form in JSON for {type(value).__name__}.")


# Made once: json.dumps makes an encoder a call.
_to_json: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
).encode
