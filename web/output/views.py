"""The base of every endpoint."""

from typing import Any, ClassVar

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.views import APIView

from web.database.stale import once_more
from web.input.body import (
    has_body,
    refuse_body,
    refuse_unbounded_body,
    refuse_undeclared_body,
)
from web.input.fields import StrictSerializer
from web.input.parameters import NoQuery, QuerySerializer


class ApiView(APIView):
    """Refuses a method it has not before it looks at the key, a parameter it has not after."""

    http_method_names = ["get", "head", "post", "patch", "delete"]
    # By handler: the action of a viewset, else the method.
    queries: ClassVar[dict[str, type[QuerySerializer]]] = {}
    # Actions by POST that may be sent again as they are.
    repeatable: ClassVar[frozenset[str]] = frozenset()

    @property
    def default_response_headers(self) -> dict[str, str]:
        """None: DRF would put Allow on every answer, where it is of use with a 405 only."""
        return {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raises MethodNotAllowed; what authentication, permissions and limits raise; then
        ParameterUnknown, ParameterInvalid for the query, and for a body where none is read."""
        method = (request.method or "").lower()
        if method not in self.http_method_names or not hasattr(self, method):
            raise MethodNotAllowed(request.method or "")
        super().initial(request, *args, **kwargs)
        handler = getattr(self, "action", None) or method
        query = self.queries.get("get" if handler == "head" else handler, NoQuery)
        if method not in ("post", "patch"):
            refuse_body(request, parameters=query().fields)
        self.query = query.read(request)
        setattr(self, method, once_more(getattr(self, method)))

    def body(
        self, serializer_class: type[StrictSerializer], *, optional: bool = False
    ) -> dict[str, Any]:
        """Return the request body's fields, each of the type that `serializer_class` names.

        With `optional`, no body is one without fields. Raises the refusals of a body that is too
        long, no JSON object, or has wrong fields.
        """
        data: Any = {}
        if has_body(self.request) or not optional:
            refuse_unbounded_body(self.request)
            refuse_undeclared_body(self.request)
            data = self.request.data
        serializer = serializer_class(data=data)
        serializer.is_valid(raise_exception=True)
        fields: dict[str, Any] = serializer.validated_data
        return fields
