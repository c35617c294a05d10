"""Closing of broken connections, so that the next query opens a new one.

Django does this by a signal at the start of each request. Here pages do it in a middleware, and
calls of the API in authentication, which makes their first query.
"""

from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from web.database.stale import once_more
from web.request import Handler


def close_if_broken(connection: BaseDatabaseWrapper) -> None:
    """Close `connection` if it is broken, unless a transaction is open."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def close_before_page(get_response: Handler) -> Handler:
    """Middleware: close a broken connection before each page."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        close_if_broken(connections[DEFAULT_DB_ALIAS])
        return get_response(request)

    return respond


class StaleOnceMiddleware:
    """Retries a page's view by `once_more`. Must be the last process_view: it calls the view."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> HttpResponseBase:
        return once_more(view)(request, *args, **kwargs)
