"""Middleware: checks of every request, those under /v1 in JSON, and static files."""

from collections.abc import Callable
from http import HTTPStatus
from io import BytesIO
from typing import Any

from csp.middleware import CSPMiddleware
from django.contrib import admin
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from web import rules
from web.context import current
from web.database.stale import once_more
from web.environ import MOST_BODY_BYTES
from web.errors.catalogue import CATALOGUE
from web.errors.refusals import OfCatalogue, Refusal, RequestInvalid, refusal_response
from web.proxies import STAFF_PATH
from web.redaction import holds_key

# What Django calls `get_response`: a view, with the middleware in front of it.
Handler = Callable[[HttpRequest], HttpResponseBase]


def refuse_large_body_and_key_in_redirect(get_response: Handler) -> Handler:
    """Refuse a body larger than any form's, and a redirect whose URL holds a key.

    The body is refused before a parser spools it to the disk. The redirect is Django's to HTTPS, or
    to a path with a slash.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if rules.is_api(request.path_info):  # Its limit is another, and it redirects nowhere.
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


def api_middleware(get_response: Handler) -> Handler:
    """Under /v1, check the request and complete the response; run the context's calls.

    Also refuse pages if a proxy header is malformed, or if the URL holds a key, before a page or a
    redirect can repeat it.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        context = current()
        if not rules.is_api(request.path_info) and not context.unreadable:
            holds = rules.url_holds_key(request.path_info, request.META.get("QUERY_STRING", ""))
            return refused(request) if holds else get_response(request)
        try:
            _check(request)
            response = get_response(request)
        except Refusal as refusal:
            if request.path_info.startswith(STAFF_PATH):
                return _staff_page(request, refusal)
            response = refusal_response(refusal)
        except SuspiciousOperation:
            response = refusal_response(RequestInvalid())
        if response.status_code < HTTPStatus.BAD_REQUEST:
            context.succeed()
        for name, value in context.headers.items():
            response[name] = value
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def _check(request: HttpRequest) -> None:
    """Raise a Refusal for what no endpoint takes. The order is a promise."""
    rules.refuse_unreadable_header()
    try:
        request.get_host()
    except DisallowedHost:
        raise OfCatalogue("host_not_allowed") from None
    rules.refuse_plain_http(request.META)
    rules.refuse_key_in_url(request.path_info, request.META.get("QUERY_STRING", ""))


def _staff_page(request: HttpRequest, refusal: Refusal) -> HttpResponseBase:
    shown = {"because": f"{refusal.message} {refusal.fix}", "title": "Not let in"}
    shown["site_header"] = shown["site_title"] = str(admin.site.site_header)
    return render(request, "admin/refused.html", shown, status=HTTPStatus.BAD_REQUEST)


def protective_headers(scheme: str) -> dict[str, str]:
    """Return what these three of Django's middleware put on every response, for the door."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v1", "wsgi.url_scheme": scheme}
    request, response = WSGIRequest({**environ, "wsgi.input": BytesIO()}), HttpResponse()
    for middleware in (SecurityMiddleware, CSPMiddleware, XFrameOptionsMiddleware):
        middleware(lambda _: HttpResponse()).process_response(request, response)
    return {name: value for name, value in response.items() if name != "Content-Type"}


class StaleOnceMiddleware(MiddlewareMixin):
    """Retries a page's view by `once_more`. Must be the last process_view: it calls the view."""

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
