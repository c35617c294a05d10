"""What the client would like to read."""

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from reachscore.api.refusals import NotAcceptable


class SteadyNegotiation(DefaultContentNegotiation):
    """DRF's, for which an Accept header that cannot be read is one that cannot be served."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[Any, Any]:
        """Raises NotAcceptable."""
        try:
            chosen: tuple[Any, Any] = super().select_renderer(request, renderers, format_suffix)
        except (LookupError, ValueError):
            raise NotAcceptable from None
        return chosen
