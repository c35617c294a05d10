"""How an answer becomes bytes."""

import json
from collections.abc import Mapping
from typing import Final

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpResponse

CONTENT_TYPE: Final = "application/json"


def json_response(
    data: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Answer with an object that json can write, with what DjangoJSONEncoder adds to it: dates.

    DRF's Response would do the same by way of a template response, a renderer and a new encoder.
    """
    return HttpResponse(
        _to_json(data).encode(), content_type=CONTENT_TYPE, status=status, headers=headers
    )


# Made once: json.dumps makes an encoder a call.
_to_json: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=DjangoJSONEncoder().default
).encode
