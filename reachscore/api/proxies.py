"""What the proxies in front say of a request: believed only as far as they are ours."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class SchemeMiddleware:
    """Makes `request.is_secure()` tell how the client reached the outermost proxy of ours.

    Django's SECURE_PROXY_SSL_HEADER would do where every proxy replaces the header; where one
    appends to it, Django reads the entry that the client wrote.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        scheme = scheme_before_proxies(
            request.META.get("HTTP_X_FORWARDED_PROTO", ""), proxies=settings.TRUSTED_PROXY_COUNT
        )
        if scheme:
            request.META["wsgi.url_scheme"] = scheme  # Where Django itself looks.
        return self.get_response(request)


def scheme_before_proxies(forwarded: str, *, proxies: int) -> str:
    """Return `https` or `http` as the outermost of `proxies` wrote it; nothing when there is none.

    Each proxy replaces the header or appends to it, so that of more entries than proxies the
    surplus on the left is the client's. What is not `https` exactly counts as plain.
    """
    if not proxies:
        return ""
    entries = [entry.strip().lower() for entry in forwarded.split(",")]
    return "https" if entries[-proxies:][0] == "https" else "http"
