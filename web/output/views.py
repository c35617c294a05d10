"""The base view of every endpoint."""

from typing import Any, ClassVar

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.views import APIView

from web.database.stale import once_more
from web.input.body import MergePatchParser, has_body, refuse_body, refuse_by_headers
from web.input.fields import StrictSerializer
from web.input.parameters import QuerySerializer


class ApiView(APIView):
    """A view that refuses unknown methods before authentication, unknown parameters after it."""

    http_method_names = ["get", "head", "post", "patch", "delete"]
    # The query parameters of each handler: a viewset's action, else a method.
    queries: ClassVar[dict[str, type[QuerySerializer]]] = {}
    # POST actions that are idempotent, so that a retry is safe.
    repeatable: ClassVar[frozenset[str]] = frozenset()

    def get_parsers(self) -> list[Any]:
        """Return parsers of JSON, for PATCH also under the media type of RFC 7396."""
        is_patch = self.request and self.request.method == "PATCH"  # None for the document.
        return [*super().get_parsers(), *([MergePatchParser()] if is_patch else [])]

    @property
    def default_response_headers(self) -> dict[str, str]:
        """No headers. DRF would set Allow on every response, but only a 405 needs it."""
        return {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check method, authentication, permissions, throttles, absent body and query, in order."""
        method = (request.method or "").lower()
        if method not in self.http_method_names or not hasattr(self, method):
            raise MethodNotAllowed(request.method or "")
        super().initial(request, *args, **kwargs)
        handler = getattr(self, "action", None) or method
        query = self.queries.get("get" if handler == "head" else handler, QuerySerializer)
        if method not in ("post", "patch"):
            refuse_body(request, parameters=query().fields)
        self.query = query.read(request)
        setattr(self, method, once_more(getattr(self, method)))

    def body(self, serializer: type[StrictSerializer], *, optional: bool = False) -> dict[str, Any]:
        """Return the fields of the body, or raise a Refusal. An `optional` one may be missing."""
        data: Any = {}
        if has_body(self.request.META) or not optional:
            refuse_by_headers(self.request)
            data = self.request.data
        fields: dict[str, Any] = serializer().run_validation(data)
        return fields
