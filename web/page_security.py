"""Middleware of pages: limits bodies, and refuses keys in URLs and redirects."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from web.boundary import MOST_BODY_BYTES
from web.errors.catalogue import CATALOGUE
from web.middleware import Handler, url_holds_key
from web.redaction import holds_key


def refuse_large_body_and_key_in_redirect(get_response: Handler) -> Handler:
    """Refuse a body larger than any form's, and a redirect whose URL holds a key.

    The body is refused before a parser spools it to the disk. The redirect is Django's to HTTPS, or
    to a path with a slash.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BODY_BYTES:
            return HttpResponse(
                "This request is larger than any form of this site.", "text/plain", 413
            )
        response = get_response(request)
        return refused(request) if holds_key(response.get("Location", "")) else response

    return middleware


def refuse_key_in_page_url(get_response: Handler) -> Handler:
    """Refuse a page whose URL holds a key, before a page or a redirect can repeat it."""
    return lambda request: refused(request) if url_holds_key(request) else get_response(request)


def refused(request: HttpRequest) -> HttpResponseBase:
    """Return the page that says what to do about a key in the URL, without repeating it."""
    problem = CATALOGUE["api_key_in_url"]
    response = render(request, "key_in_url.html", {"problem": problem}, status=problem.status)
    response["Cache-Control"] = "no-store"
    # The URL holds the key: do not send it to what this page loads and links to.
    response["Referrer-Policy"] = "no-referrer"
    return response
