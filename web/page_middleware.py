"""Middleware of pages: limits bodies, refuses keys in redirects, serves static files."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from web.database.stale import once_more
from web.environ import MOST_BODY_BYTES
from web.errors.catalogue import CATALOGUE
from web.redaction import holds_key
from web.rules import is_api

# What Django calls `get_response`: a view, with the middleware in front of it.
Handler = Callable[[HttpRequest], HttpResponseBase]


def refuse_large_body_and_key_in_redirect(get_response: Handler) -> Handler:
    """Refuse a body larger than any form's, and a redirect whose URL holds a key.

    The body is refused before a parser spools it to the disk. The redirect is Django's to HTTPS, or
    to a path with a slash.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if is_api(request.path_info):  # Its limit is another, and it redirects nowhere.
            return get_response(request)
        if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BODY_BYTES:
            text = "This request is larger than any form of this site."
            return HttpResponse(text, "text/plain", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        response = get_response(request)
        return refused(request) if holds_key(response.get("Location", "")) else response

    return middleware


def refused(request: HttpRequest) -> HttpResponseBase:
    """Return the page that says what to do about a key in the URL, without repeating it."""
    problem = CATALOGUE["api_key_in_url"]
    response = render(request, "key_in_url.html", {"problem": problem}, status=problem.status)
    response["Cache-Control"] = "no-store"
    # The URL holds the key: do not send it to what this page loads and links to.
    response["Referrer-Policy"] = "no-referrer"
    return response


class StaleOnceMiddleware:
    """Retries a page's view by `once_more`. Must be the last process_view: it calls the view."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponseBase], args: Any, kwargs: Any
    ) -> HttpResponseBase:
        return once_more(view)(request, *args, **kwargs)


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise with a fix: it refuses a range of one byte (its issue 711, open in 6.12)."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = WhiteNoiseMiddleware.serve(static_file, request)
        if response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return response
        size = int(response["Content-Range"].rpartition("/")[2])
        first, last = static_file.get_byte_range(request.META.pop("HTTP_RANGE"), size)
        if not first == last < size:
            return response
        whole = static_file.get_response(request.method, request.META)
        byte = b""
        if whole.file is not None:  # It is None for a HEAD.
            with whole.file:
                whole.file.seek(first)
                byte = whole.file.read(1)
        headers = {**dict(whole.headers), "Content-Range": f"bytes {first}-{last}/{size}"}
        return HttpResponse(byte, status=206, headers={**headers, "Content-Length": "1"})
