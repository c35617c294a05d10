"""Content negotiation."""

from typing import Final

from django.http import HttpRequest
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

ANYTHING: Final = "*/*"


def accepts_anything(request: Request | HttpRequest) -> bool:
    """Return True if the Accept header is missing, empty or `*/*`, as in most requests."""
    return request.META.get("HTTP_ACCEPT", "").strip(" \t,") in ("", ANYTHING)


class SteadyNegotiation(DefaultContentNegotiation):
    """DRF's negotiation, but an Accept header of white space and commas counts as missing."""

    def get_accept_list(self, request: Request) -> list[str]:
        return [ANYTHING] if accepts_anything(request) else super().get_accept_list(request)
