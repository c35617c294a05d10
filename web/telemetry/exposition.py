"""`GET /metrics` in Prometheus' exposition format."""

import hmac
import os

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from web.context import current
from web.telemetry.metric_files import FOLDER, SharedFiles
from web.telemetry.metrics import REGISTRY
from web.telemetry.security_log import failed_authentications


@csrf_exempt  # A 403 for CSRF would reveal that this path exists.
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics, or 404 like an unknown path if METRICS_TOKEN is not set."""
    if not settings.METRICS_TOKEN:
        raise Http404
    return _metrics(request)


@never_cache
@require_safe
def _metrics(request: HttpRequest) -> HttpResponse:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    # Bytes: compare_digest raises on text that is not ASCII.
    sent, wanted = (t.encode(errors="backslashreplace") for t in (token, settings.METRICS_TOKEN))
    if scheme.lower() != "bearer" or not hmac.compare_digest(sent, wanted):
        failed_authentications.count("metrics_token_invalid", current().address)
        challenge = {"WWW-Authenticate": 'Bearer realm="metrics"'}
        text = "Send METRICS_TOKEN as a bearer token."
        return HttpResponse(text, "text/plain", 401, headers=challenge)
    # The sum over all workers if they share a folder, else this process's values.
    source = SharedFiles() if FOLDER in os.environ else REGISTRY
    return HttpResponse(generate_latest(source), CONTENT_TYPE_LATEST)
