"""Django's WSGI request and handler, hardened against the Content-Type header."""

from collections.abc import Callable, Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch
from django.utils.http import parse_header_parameters

# What Django calls `get_response`: a view, with the middleware in front of it.
Handler = Callable[[HttpRequest], HttpResponseBase]


class SteadyRequest(WSGIRequest):
    """Django's request, but always in UTF-8.

    Django decodes the query, too, in the charset of the Content-Type header. Some charsets make it
    raise before our code runs, others would hide a key in the URL from our checks.
    """

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        # `web.boundary` has checked the syntax.
        media_type = meta.get("CONTENT_TYPE", "")
        self.content_type, self.content_params = parse_header_parameters(media_type)


class SteadyHandler(WSGIHandler):
    """Django's WSGI application with steady requests."""

    request_class = SteadyRequest

    def __init__(self) -> None:
        super().__init__()
        self._literal: dict[str, ResolverMatch] = {}

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Find the view. Cache the match of a path that equals its pattern.

        There is at most one such path for each pattern, so clients cannot fill the cache.
        """
        match = self._literal.get(request.path_info)
        if match is None:
            match = super().resolve_request(request)
            if f"/{match.route}" == request.path_info:
                self._literal[request.path_info] = match
        request.resolver_match = match
        return match
