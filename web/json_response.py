"""How an answer becomes bytes."""

from collections.abc import Mapping
from typing import Final

from django.http import HttpResponse, JsonResponse

COMPACT: Final = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def json_response(
    data: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Answer with an object that json can write, with what DjangoJSONEncoder adds to it: dates.

    DRF's Response would do the same by way of a template response and a renderer.
    """
    return JsonResponse(data, status=status, headers=headers, json_dumps_params=COMPACT)
