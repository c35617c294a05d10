"""What holds for every page, as `ApiMiddleware` holds for every call of the API."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from web.boundary import MOST_BODY_BYTES
from web.errors.catalogue import CATALOGUE
from web.middleware import Handler, url_holds_key
from web.redaction import holds_key


def refuse_large_body_and_key_in_redirect(get_response: Handler) -> Handler:
    """Refuse what no page's form can need, and in place of a redirect that would repeat a key.

    The body before a parser spools it to the disk; the redirect such as Django's to HTTPS.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BODY_BYTES:
            return HttpResponse("This is larger than any form here.", "text/plain", 413)
        response = get_response(request)
        return refused(request) if holds_key(response.get("Location", "")) else response

    return middleware


def refuse_key_in_page_url(get_response: Handler) -> Handler:
    """Refuse a page whose URL holds a key, before a list, a log-in or an error page repeats it."""
    return lambda request: refused(request) if url_holds_key(request) else get_response(request)


def refused(request: HttpRequest) -> HttpResponseBase:
    """Answer with the page that says what to do about a key in the URL, and does not repeat it."""
    problem = CATALOGUE["api_key_in_url"]
    response = render(request, "key_in_url.html", {"problem": problem}, status=problem.status)
    response["Cache-Control"] = "no-store"
    # What this page loads, and where its links lead, must not be told its URL.
    response["Referrer-Policy"] = "no-referrer"
    return response
