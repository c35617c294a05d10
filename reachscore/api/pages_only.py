"""Django's middleware for browsers, kept from the API: no program sends a session or reads it."""

from collections.abc import Awaitable

from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from reachscore.api.middleware import is_api


class PagesOnly(MiddlewareMixin):
    """Comes before a middleware of Django's, and lets what is under /v1 pass by it."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self.get_response(request) if is_api(request) else super().__call__(request)


class PolicyMiddleware(PagesOnly, CSPMiddleware):
    """django-csp's. No browser runs JSON, and a policy takes 70 µs to build."""


class PageSessionMiddleware(PagesOnly, SessionMiddleware):
    """Puts `session` on a request for a page."""


class PageUserMiddleware(PagesOnly, AuthenticationMiddleware):
    """Puts `user`, a member of staff, on a request for a page."""


class PageMessageMiddleware(PagesOnly, MessageMiddleware):
    """Keeps what one page has to say on the next."""
