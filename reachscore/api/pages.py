"""The public pages: home, the OpenAPI document, the error page."""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from reachscore.api.catalogue import CATALOGUE
from reachscore.api.views import ApiView


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


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead people to what they came for."""
    return render(request, "home.html")


@require_safe
def errors(request: HttpRequest) -> HttpResponse:
    """Explain every error code, an anchor each; where `doc_url` points."""
    return render(request, "errors.html", {"catalogue": CATALOGUE})
