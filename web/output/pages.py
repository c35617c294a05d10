"""Public pages: home, API reference, OpenAPI document, security.txt. The portal has the others."""

from datetime import timedelta
from threading import Lock
from typing import Final

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.templatetags.static import static
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from web.context import current
from web.input.moments import format_moment
from web.output.views import ApiView

# drf-spectacular loads classes on its first run, and fails if two threads do so at the same time.
_building: Final = Lock()
_built: Final[dict[type[BaseRenderer], bytes]] = {}


def openapi_document(renderer: type[BaseRenderer]) -> bytes:
    """Return the OpenAPI document, built once in each process: it depends only on the code."""
    with _building:
        if renderer not in _built:
            document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
            _built[renderer] = renderer().render(document)
        return _built[renderer]


@method_decorator(conditional_page, name="dispatch")
class OpenApiView(ApiView):
    """`GET /v1/openapi.json` and `.yaml`, without authentication, from any origin."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        headers = current().headers  # A 304 has them, too.
        headers |= {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache"}
        renderer = self.renderer_classes[0]
        return HttpResponse(openapi_document(renderer), renderer.media_type)


# Swagger UI needs inline styles and data: images, but no inline scripts.
@require_safe
@csp_update({"style-src": [SELF, UNSAFE_INLINE], "img-src": [SELF, "data:"]})
@cache_control(public=True, max_age=300)
def reference(request: HttpRequest) -> HttpResponse:
    return render(request, "docs/reference.html")


@require_safe
@cache_control(public=True, max_age=86_400)
def favicon(request: HttpRequest) -> HttpResponseRedirect:
    """Redirect /favicon.ico, which browsers request for pages that name no icon."""
    return HttpResponseRedirect(static("reachscore/favicon.svg"))


@require_safe
def security_txt(request: HttpRequest) -> HttpResponse:
    """Answer where to report a vulnerability (RFC 9116), or 404 without SECURITY_CONTACT."""
    if not settings.SECURITY_CONTACT:
        raise Http404
    expires = format_moment(timezone.now() + timedelta(days=180))  # At most a year, §2.5.5.
    text = f"""Contact: {settings.SECURITY_CONTACT}
Expires: {expires}
Preferred-Languages: en
Canonical: {settings.PUBLIC_URL}/.well-known/security.txt
# An exposed API key: {settings.PUBLIC_URL}/revoke kills it, without a report to us.
"""
    return HttpResponse(text, "text/plain; charset=utf-8")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html")
