"""The request log and metrics: one line for each request, with caller, status and duration."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from web.context import RequestContext, begin_request
from web.telemetry.logs import log_quickly
from web.telemetry.metrics import count_request
from web.telemetry.security_log import failed_authentications

logger = logging.getLogger("reachscore.request")

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

# Counted in place of the status: errors that customers rehearse must not alert operators.
SIMULATED: Final = "simulated"


def route_of(request: HttpRequest) -> str:
    """Return the URL pattern of the request, or "unknown" if none matched. Never the path."""
    match = request.resolver_match
    return match.route if match is not None and match.url_name != "unknown" else "unknown"


def log_request(  # noqa: PLR0917 - a line has many fields
    context: RequestContext,
    method: str,
    route: str,
    status: int,
    seconds: float,
    more: Mapping[str, object],
) -> None:
    """Count the request, which is over, and write its line of the log, with `more` at its end."""
    context.deadline = None
    shown = SIMULATED if context.is_simulated else status
    count_request(route=route, status=shown, seconds=seconds)
    fields = {
        "method": method if method in METHODS else "other",
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "key": context.key_id,
        "organization": context.organization_id,
        "address": context.address,
    }
    if context.is_simulated:
        fields[SIMULATED] = True
    log_quickly(logger, "request", {**fields, **more})
    failed_authentications.flush_when_due()


class RequestLogMiddleware:
    """Creates the request context, sets Request-Id, then logs and counts the request.

    Must be first in MIDDLEWARE, so that the time covers all others. Makes no query.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        context = begin_request(request.META)
        response = self.get_response(request)
        response["Request-Id"] = context.request_id
        method, more = request.method or "", getattr(response, "logged_fields", {})
        seconds = time.perf_counter() - began
        log_request(context, method, route_of(request), response.status_code, seconds, more)
        return response
