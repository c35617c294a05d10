"""JSON responses without DRF's renderer."""

from collections.abc import Mapping
from typing import Final

from django.http import HttpResponse, JsonResponse

COMPACT: Final = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def json_response(
    data: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return a response with `data` as compact JSON; dates are allowed (DjangoJSONEncoder).

    On the hot path this replaces DRF's Response, which goes through a template response.
    """
    return JsonResponse(data, status=status, headers=headers, json_dumps_params=COMPACT)
