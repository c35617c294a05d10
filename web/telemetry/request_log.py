"""One log line a request: what was asked by whom, how it ended, how long it took. Counted, too."""

import logging
import time
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from web.context import begin_request
from web.telemetry.metrics import count_request
from web.telemetry.security_log import failed_authentications

logger = logging.getLogger("reachscore.request")

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

# Counted in the place of a status: what customers rehearse must wake no operator.
SIMULATED: Final = "simulated"


def route_of(request: HttpRequest) -> str:
    """Return the URL pattern that took the request, never its path: "unknown" where none did."""
    match = request.resolver_match
    return match.route if match is not None and match.url_name != "unknown" else "unknown"


class RequestLogMiddleware:
    """Gives every request its id, and every response the same; writes and counts each one.

    Outermost, so that the milliseconds are all of them. Asks the database nothing.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        context = begin_request(request.META)
        began = time.perf_counter()
        response = self.get_response(request)
        response["Request-Id"] = context.request_id
        seconds = time.perf_counter() - began
        route = route_of(request)
        status = SIMULATED if context.is_simulated else response.status_code
        count_request(route=route, status=status, seconds=seconds)
        fields = {
            "method": request.method if request.method in METHODS else "other",
            "route": route,
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            "key": context.key_id,
            "organization": context.organization_id,
            "address": context.address,
        }
        if context.is_simulated:
            fields[SIMULATED] = True
        fields |= getattr(response, "logged_fields", {})
        logger.info("request", extra={"fields": fields})
        failed_authentications.flush_when_due()
        return response
