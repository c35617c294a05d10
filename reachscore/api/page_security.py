"""What holds for every page, as `ApiMiddleware` holds for every call of the API."""

from collections.abc import Awaitable

from csp.middleware import CSPMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from reachscore.api.middleware import is_api


class PolicyMiddleware(CSPMiddleware):
    """django-csp's, for pages alone: no browser runs JSON, and a policy takes 70 µs to build."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self.get_response(request) if is_api(request) else super().__call__(request)
