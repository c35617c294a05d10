"""Middleware of the API: checks and headers of every request under /v1."""

import re
from contextvars import ContextVar
from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from web.context import current
from web.errors.refusals import OfCatalogue, Refusal, RequestInvalid, refusal_response
from web.proxies import GATEWAY, STAFF_PATH
from web.redaction import holds_key
from web.request import Handler

API_PATH: Final = re.compile(r"/v1(/|\Z)")
PLAIN_HOST: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
KEY_PARAMETERS: Final = ("api_key", "key", "token", "access_token")

# Passes the view handler from `end_of_pages` to ApiMiddleware while Django builds the chain.
_views: ContextVar[Handler] = ContextVar("views")


def is_api(request: HttpRequest) -> bool:
    """Return True if the path is under /v1, where errors are JSON."""
    return API_PATH.match(request.path_info) is not None


class ApiMiddleware:
    """Under /v1, checks the request, calls the view, and sets the headers of the response.

    Skips the middleware between itself and `end_of_pages`, which is for browsers only. Runs the
    context's calls after a success. Also refuses pages if a proxy header is malformed.
    """

    def __init__(self, get_response: Handler) -> None:
        self.answer_page = get_response
        self.answer_call = _views.get()
        self.headers = {
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": settings.X_FRAME_OPTIONS,
        }
        self.transport_security = _transport_security()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_api(request) and not current().unreadable:
            return self.answer_page(request)
        response: HttpResponseBase
        context = current()
        try:
            refuse_unreadable_header()
            refuse_wrong_host(request)
            refuse_plain_http(request)
            refuse_key_in_url(request)
            response = self.answer_call(request)
        except Refusal as refusal:
            if request.path_info.startswith(STAFF_PATH):
                shown = {"because": f"{refusal.message} {refusal.fix}", "title": "Not let in"}
                shown["site_header"] = shown["site_title"] = str(admin.site.site_header)
                response = render(request, "admin/refused.html", shown, status=400)
            else:
                response = refusal_response(request, refusal)
        except SuspiciousOperation:
            response = refusal_response(request, RequestInvalid())
        if response.status_code < HTTPStatus.BAD_REQUEST:
            context.succeed()
        added = context.headers
        if self.transport_security and request.is_secure():
            added["Strict-Transport-Security"] = self.transport_security
        if isinstance(response, HttpResponse):
            added["Content-Length"] = str(len(response.content))
        for name, value in (self.headers | added).items():
            response[name] = value
        return response


def end_of_pages(get_response: Handler) -> Handler:
    """Capture the views for ApiMiddleware, so that it can skip what is for pages only.

    Must be last in MIDDLEWARE: Django builds its chain from the end.
    """
    _views.set(get_response)
    return get_response


def _transport_security() -> str:
    """Return the value of RFC 6797's header, "" in development. Pages: SecurityMiddleware."""
    if not settings.SECURE_HSTS_SECONDS:
        return ""
    directives = [f"max-age={settings.SECURE_HSTS_SECONDS}"]
    directives += ["includeSubDomains"] if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else []
    directives += ["preload"] if settings.SECURE_HSTS_PRELOAD else []
    return "; ".join(directives)


def refuse_unreadable_header() -> None:
    """Raise RequestInvalid, naming the header, if a proxy header is malformed."""
    name = current().unreadable
    if name == GATEWAY:
        message = "ReachScore-Gateway is malformed, or its token is not the gateway's."
        fix = (
            "Send no such header: only a gateway of this service may. Operators: it must read "
            "“<token> for=<address> proto=<http or https>”, with a token of GATEWAY_TOKEN."
        )
        if settings.STAFF_GATEWAY_TOKENS:
            fix += (
                " Under /admin/, after a token of STAFF_GATEWAY_TOKEN and those two, it must end "
                "“user=<1 to 150 of A–Z a–z 0–9 . _ @ + -> mfa=<yes or no>”, with nothing encoded."
            )
        raise RequestInvalid(message, fix=fix, field=name)
    if name:
        message = f"{name}, which only proxies write, is empty or not plain ASCII."
        raise RequestInvalid(message, fix="Send no such header.", field=name)


def refuse_wrong_host(request: HttpRequest) -> None:
    """Raise `host_not_allowed` for a wrong Host header, in JSON where Django would use HTML."""
    host = request.META.get("HTTP_HOST", "")
    if host in settings.ALLOWED_HOSTS and PLAIN_HOST.fullmatch(
        host
    ):  # No port, no wildcard: skip get_host().
        return
    try:
        request.get_host()
    except DisallowedHost:
        raise OfCatalogue("host_not_allowed") from None


def refuse_plain_http(request: HttpRequest) -> None:
    """Raise `https_required` for plain HTTP. A redirect would hide that the key was exposed."""
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        raise OfCatalogue("https_required")


def refuse_key_in_url(request: HttpRequest) -> None:
    """Raise `api_key_in_url` if path or query hold a key, valid or not, or a parameter for keys.

    RFC 6750 §2.3 discourages keys in URLs and OWASP ASVS 5.0 §14.2.1 forbids them.
    """
    if request.META.get("QUERY_STRING"):
        for name in request.GET:
            if name.lower() in KEY_PARAMETERS:
                raise OfCatalogue("api_key_in_url", field=name.lower())
    if url_holds_key(request):
        raise OfCatalogue("api_key_in_url")


def url_holds_key(request: HttpRequest) -> bool:
    """Return True if the path or the query holds a key, valid or not."""
    if holds_key(request.path_info):
        return True
    if not request.META.get("QUERY_STRING"):
        return False
    return any(holds_key(text) for name, values in request.GET.lists() for text in (name, *values))
