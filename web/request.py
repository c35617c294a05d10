"""Requests that no header of a client can break or bend."""

from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest
from django.urls import ResolverMatch
from django.utils.http import parse_header_parameters


class SteadyRequest(WSGIRequest):
    """Django's request, less its trust in the Content-Type header.

    Django reads the query, too, in whatever charset that header names: some make it raise before
    any of our code runs, others would hide a key in the URL from those who look for one.
    """

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        # That it can be read is the boundary's part.
        media_type = meta.get("CONTENT_TYPE", "")
        self.content_type, self.content_params = parse_header_parameters(media_type)


class SteadyHandler(WSGIHandler):
    """Django's WSGI application, on steady requests."""

    request_class = SteadyRequest

    def __init__(self) -> None:
        super().__init__()
        self._literal: dict[str, ResolverMatch] = {}

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Find the view; of a path that is a pattern as it stands, only once.

        There are as many of those as patterns: nothing that a client makes up is kept.
        """
        match = self._literal.get(request.path_info)
        if match is None:
            match = super().resolve_request(request)
            if f"/{match.route}" == request.path_info:
                self._literal[request.path_info] = match
        request.resolver_match = match
        return match
