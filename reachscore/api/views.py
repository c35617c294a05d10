"""The base of every endpoint."""

from typing import Any, ClassVar

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.views import APIView

from reachscore.api.body import refuse_unbounded_body, refuse_undeclared_body
from reachscore.api.fields import StrictSerializer
from reachscore.api.redaction import quote_input
from reachscore.api.refusals import ParameterUnknown
from reachscore.api.text import did_you_mean


class ApiView(APIView):
    """Refuses a method it has not before it looks at the key, a parameter it has not after."""

    http_method_names = ["get", "head", "post", "patch", "delete"]
    query_parameters: ClassVar[tuple[str, ...]] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raises MethodNotAllowed; then what authentication, permissions and limits raise."""
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(request.method or "")
        super().initial(request, *args, **kwargs)
        for name in request.query_params:
            if name not in self.query_parameters:
                hint = did_you_mean(name, self.query_parameters)
                shown = quote_input(name)
                raise ParameterUnknown(f"There is no parameter {shown}.{hint}", field=shown[1:-1])

    def body(self, serializer_class: type[StrictSerializer]) -> dict[str, Any]:
        """Return the request body's fields, each of the type that `serializer_class` names.

        Raises the refusals of a body that is too long, no JSON object, or has wrong fields.
        """
        refuse_unbounded_body(self.request)
        refuse_undeclared_body(self.request)
        serializer = serializer_class(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        fields: dict[str, Any] = serializer.validated_data
        return fields
