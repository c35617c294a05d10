"""Exception handlers of DRF and Django: every exception under /v1 becomes the error envelope."""

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from django.core.signals import got_request_exception
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions as drf
from rest_framework.permissions import SAFE_METHODS
from rest_framework.views import set_rollback

from web.context import current
from web.errors import refusals
from web.errors.faults import describe_fault, is_database_fault, is_unconfirmed
from web.errors.refusals import OfCatalogue, Refusal, refusal_response
from web.input.idempotency import idempotency_token
from web.rules import is_api
from web.telemetry.metrics import count_database_error

logger = logging.getLogger("reachscore.api")

MAY_HAVE_HAPPENED: Final = "This may have happened: the database did not confirm it in time."
NOT_READ_BACK: Final = "What can be read meanwhile may not be on a second machine yet."

_CODES_BY_EXCEPTION: Final[dict[type[Exception], str]] = {
    drf.NotAcceptable: "not_acceptable",
    drf.UnsupportedMediaType: "unsupported_media_type",
    drf.ParseError: "invalid_json",
    drf.ValidationError: "parameter_invalid",
    drf.NotFound: "resource_not_found",
    Http404: "resource_not_found",
}
INTERNAL_ERROR: Final = "internal_error"  # A bug; the log has its traceback and request id.


def handle_exception(exception: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's EXCEPTION_HANDLER: return the envelope for what a view raised, and log a bug."""
    set_rollback()
    view = context["view"]
    if is_unconfirmed(exception) and view.request.method not in SAFE_METHODS:
        refusal: Refusal = _unconfirmed(view)
    elif isinstance(exception, drf.MethodNotAllowed):
        allowed = ", ".join(view.allowed_methods)
        message = f"This path supports only {allowed}."
        refusal = OfCatalogue("method_not_allowed", message, headers={"Allow": allowed})
    else:
        refusal = refusal_for(exception)
    response = refusal_response(refusal)
    response.logged_fields = note_fault(exception, refusal, view.request)  # type: ignore[attr-defined]
    return response


def refusal_for(exception: Exception) -> Refusal:
    """Return what an exception means to a client: itself if it is a Refusal, else a 4xx or 5xx."""
    if isinstance(exception, Refusal):
        return exception
    if is_database_fault(exception):
        return refusals.TemporarilyUnavailable()
    codes = (code for kind, code in _CODES_BY_EXCEPTION.items() if isinstance(exception, kind))
    return OfCatalogue(next(codes, INTERNAL_ERROR))


def note_fault(
    exception: Exception, refusal: Refusal, request: HttpRequest | None = None
) -> dict[str, object]:
    """Log a bug, count a database error; return fields for the request's line of the log."""
    if refusal.code == INTERNAL_ERROR and not current().is_simulated:
        # Error reporters and Django's test client listen to this signal.
        got_request_exception.send(sender=None, request=request)
        logger.error("Bug behind request %s", current().request_id, exc_info=exception)
    return count_fault(exception)


def _unconfirmed(view: Any) -> Refusal:
    """Return a 503 that says how to find out if the request was carried out."""
    request, token = view.request, None
    with suppress(Refusal):  # A malformed value, which this endpoint ignored.
        token = idempotency_token(request)
    if request.method != "POST" or getattr(view, "action", None) in getattr(view, "repeatable", ()):
        fix = f"Send the same again until it is answered 2xx. {NOT_READ_BACK}"
    elif token is not None:
        fix = f"Send the same again with its Idempotency-Key, {token}, until it is answered 2xx."
    else:
        fix = f"Check if it did before you send it again. {NOT_READ_BACK}"
    return refusals.TemporarilyUnavailable(MAY_HAVE_HAPPENED, fix=fix)


@csrf_exempt  # Keys are no cookies, so CSRF does not apply: every method gets a 404.
def unknown_path(request: HttpRequest) -> HttpResponse:
    """Answer 404 for a path under /v1 that has no route."""
    fix = "Check its spelling: no slash at the end. The endpoints are listed at /docs/reference."
    return refusal_response(refusals.ResourceNotFound("No endpoint has this path.", fix=fix))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    if is_api(request.path_info):
        return refusal_response(refusals.RequestInvalid())
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if is_api(request.path_info):
        return unknown_path(request)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, for exceptions outside DRF's views. Django has logged them."""
    exception, is_of_api = sys.exception(), is_api(request.path_info)
    refusal: Refusal = OfCatalogue(INTERNAL_ERROR)
    if is_unconfirmed(exception) and request.method not in SAFE_METHODS:
        fix = f"Send the same again until it succeeds. {NOT_READ_BACK}"
        refusal = refusals.TemporarilyUnavailable(MAY_HAVE_HAPPENED, fix=fix)
    elif is_database_fault(exception):
        fix = "" if is_of_api else "Wait a few seconds, then send the same again."
        refusal = refusals.TemporarilyUnavailable(fix=fix)
    response: HttpResponse
    if is_of_api:
        response = refusal_response(refusal)
    elif isinstance(exception, DataError):
        # The client sent a value that no text column can hold, such as one with a NUL.
        response = defaults.bad_request(request, exception)
    elif refusal.code == INTERNAL_ERROR:
        response = defaults.server_error(request)
    else:
        page = render_to_string("unavailable.html", {"refusal": refusal})
        response = HttpResponse(page, status=refusal.status, headers=refusal.headers)
    response.logged_fields = count_fault(exception)  # type: ignore[attr-defined]
    return response


def count_fault(exception: BaseException | None) -> dict[str, object]:
    """Count a database error; return fields for the request's line of the log."""
    count_database_error(exception)
    return {"fault": describe_fault(exception)} if is_database_fault(exception) else {}
