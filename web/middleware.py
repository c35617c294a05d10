"""Middleware of the API: checks of every request under /v1, in JSON where pages have HTML."""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render

from web.context import current
from web.errors.refusals import OfCatalogue, Refusal, RequestInvalid, refusal_response
from web.proxies import FORWARD_AUTH_PATH, STAFF_PATH
from web.rules import is_api, refuse_key_in_url, refuse_plain_http, refuse_unreadable_header

# What Django calls `get_response`: a view, with the middleware in front of it.
Handler = Callable[[HttpRequest], HttpResponseBase]


class ApiMiddleware:
    """Under /v1, checks the request and completes the response; runs the context's calls.

    Also refuses pages if a proxy header is malformed.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        context = current()
        if not is_api(request.path_info) and not context.unreadable:
            return self.get_response(request)
        try:
            _check(request)
            response = self.get_response(request)
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
        response["Cache-Control"] = "no-store"
        return response


def _check(request: HttpRequest) -> None:
    """Raise a Refusal for what no endpoint takes. The order is a promise."""
    if request.path_info.startswith(FORWARD_AUTH_PATH):
        # Its view has rules of its own. The host is another service's, which Django would refuse.
        request.META["HTTP_HOST"] = urlsplit(settings.PUBLIC_URL).netloc
        return
    refuse_unreadable_header()
    try:
        request.get_host()
    except DisallowedHost:
        raise OfCatalogue("host_not_allowed") from None
    refuse_plain_http(request.META)
    refuse_key_in_url(request.path_info, request.META.get("QUERY_STRING", ""))


def _staff_page(request: HttpRequest, refusal: Refusal) -> HttpResponseBase:
    shown = {"because": f"{refusal.message} {refusal.fix}", "title": "Not let in"}
    shown["site_header"] = shown["site_title"] = str(admin.site.site_header)
    return render(request, "admin/refused.html", shown, status=HTTPStatus.BAD_REQUEST)
