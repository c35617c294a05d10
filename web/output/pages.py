"""The public pages: home, the OpenAPI document, the error page."""

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

from web.errors.catalogue import CATALOGUE
from web.input.moments import format_moment
from web.output.views import ApiView


@cache
def openapi_document() -> Any:
    """Build the OpenAPI document: once a process, it depends on the code alone."""
    return SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]


class OpenApiView(ApiView):
    """`GET /v1/openapi.json`, for everyone."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Answer with the document."""
        return Response(openapi_document())


# Swagger UI styles its parts inline and draws arrows from data: URLs; its scripts keep the rules.
@method_decorator(
    csp_update({"style-src": [SELF, UNSAFE_INLINE], "img-src": [SELF, "data:"]}), name="dispatch"
)
class DocsView(SpectacularSwaggerSplitView):
    """`GET /docs`: the API reference, to try things in."""

    url_name = "openapi"
    http_method_names = ["get", "head"]

    @staticmethod
    def _swagger_ui_favicon() -> str:
        return favicon_url()


def favicon_url() -> str:
    """Return where the icon lies; in production its name holds its digest."""
    return static("reachscore/favicon.svg")


@require_safe
@cache_control(public=True, max_age=86_400)
def favicon(request: HttpRequest) -> HttpResponseRedirect:
    """Answer browsers that ask without having been told, as they do for a bare error page."""
    return HttpResponseRedirect(favicon_url())


@require_safe
def security_txt(request: HttpRequest) -> HttpResponse:
    """Say where to report a vulnerability (RFC 9116). Raise Http404 without SECURITY_CONTACT."""
    if not settings.SECURITY_CONTACT:
        raise Http404
    expires = format_moment(timezone.now() + timedelta(days=180))  # Less than a year, §2.5.5.
    text = f"""Contact: {settings.SECURITY_CONTACT}
Expires: {expires}
Preferred-Languages: en
Canonical: {settings.PUBLIC_URL}/.well-known/security.txt
"""
    return HttpResponse(text, "text/plain; charset=utf-8")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead people to what they came for."""
    return render(request, "home.html")


@require_safe
def errors(request: HttpRequest) -> HttpResponse:
    """Explain every error code, an anchor each; where `doc_url` points."""
    return render(request, "errors.html", {"catalogue": CATALOGUE})
