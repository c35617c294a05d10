"""`/v1/authz/…`: forward authentication on Django's side."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from apikeys.authentication.forward import authorize, for_gateway
from web.errors.refusals import Refusal
from web.exception_handlers import handle_exception


@method_decorator(csrf_exempt, name="dispatch")
class ForwardAuthView(View):
    """Answers a gateway, whatever the method; never looks at the body."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return an empty 200 with the caller in its headers, or a refusal with its reason."""
        try:
            response = HttpResponse(headers=authorize(request.META))
        except Exception as exception:
            return handle_exception(exception, {"view": self})
        del response["Content-Type"]
        return response

    def adapt_refusal(self, refusal: Refusal) -> None:
        """Called by `handle_exception`."""
        for_gateway(refusal, self.request.META)
