"""Public pages: home, API reference, OpenAPI document, security.txt. The portal has the others."""

from datetime import timedelta
from functools import cache
from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.templatetags.static import static
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from web.input.moments import format_moment
from web.output.views import ApiView


@cache
def openapi_document() -> Any:
    """Return the OpenAPI document, built once in each process: it depends only on the code."""
    return SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]


class OpenApiView(ApiView):
    """`GET /v1/openapi.json`, without authentication."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        return Response(openapi_document())


# Swagger UI needs inline styles and data: images, but no inline scripts.
@method_decorator(
    csp_update({"style-src": [SELF, UNSAFE_INLINE], "img-src": [SELF, "data:"]}), name="dispatch"
)
class DocsView(SpectacularSwaggerSplitView):
    """`GET /docs/reference`: the API reference as Swagger UI."""

    url_name = "openapi"
    http_method_names = ["get", "head"]


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
"""
    return HttpResponse(text, "text/plain; charset=utf-8")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Return the home page, with links to everything else."""
    return render(request, "home.html")
