"""Middleware of the API: checks of every request under /v1, in JSON where pages have HTML."""

from http import HTTPStatus
from io import BytesIO

from csp.middleware import CSPMiddleware
from django.contrib import admin
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.shortcuts import render

from web import rules
from web.context import current
from web.errors.refusals import OfCatalogue, Refusal, RequestInvalid, refusal_response
from web.page_middleware import Handler, refused
from web.proxies import STAFF_PATH


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
