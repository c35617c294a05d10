"""Content negotiation."""

from collections.abc import Iterable
from typing import Any, Final

from django.http import HttpRequest
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

ANYTHING: Final = "*/*"


def accepts_anything(request: Request | HttpRequest) -> bool:
    """Return True if the Accept header is missing, empty or `*/*`, as in most requests."""
    return request.META.get("HTTP_ACCEPT", "").strip(" \t,") in ("", ANYTHING)


class SteadyNegotiation(DefaultContentNegotiation):
    """DRF's negotiation, but an Accept header of white space and commas counts as missing."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[Any, Any]:
        """Return the renderer and media type to use. Raise NotAcceptable if none fits."""
        if accepts_anything(request):
            first = next(iter(renderers))
            return first, first.media_type
        chosen: tuple[Any, Any] = super().select_renderer(request, renderers, format_suffix)
        return chosen
