"""How code says no, and the one shape in which clients read it."""

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from web.context import current
from web.errors.catalogue import CATALOGUE
from web.json_response import json_response

# Longer than a database takes to restart, short enough that nobody gives up.
RETRY_AFTER_SECONDS: Final = 5


class Refusal(Exception):
    """A rule says no: a code of the catalogue, and whatever this case knows better than it.

    Subclass with a `code` for a rule of the domain; the catalogue says what it means. `field` names
    the one request field at fault; `headers` go out with the answer; `details` are further members
    of the error for programs. None may hold client input that was not made fit for it.
    """

    code: str

    def __init__(
        self,
        message: str = "",
        *,
        fix: str = "",
        field: str = "",
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        problem = CATALOGUE[self.code]
        self.status = problem.status
        self.type = problem.type
        self.message = message or problem.message
        self.fix = fix or problem.fix
        self.field = field
        self.headers = dict(headers or {})
        self.details = dict(details or {})
        super().__init__(self.message)


class OfCatalogue(Refusal):
    """A refusal by its code, for those that need no class of their own."""

    def __init__(self, code: str, message: str = "", **known: Any) -> None:
        self.code = code
        super().__init__(message, **known)


class ParameterInvalid(Refusal):
    code = "parameter_invalid"


class ParameterUnknown(Refusal):
    code = "parameter_unknown"


class ContainsApiKey(Refusal):
    code = "contains_api_key"


class InvalidJson(Refusal):
    code = "invalid_json"


class RequestInvalid(Refusal):
    code = "request_invalid"


class ResourceNotFound(Refusal):
    """No such path, or no such object for this caller: the two look alike on purpose."""

    code = "resource_not_found"


class TemporarilyUnavailable(Refusal):
    """The database is away, busy or read-only: no fault of the client's, and it will pass."""

    code = "temporarily_unavailable"

    def __init__(self, message: str = "", *, fix: str = "") -> None:
        super().__init__(message, fix=fix, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def refusal_response(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """Answer with the contract's error envelope and the refusal's headers."""
    error: dict[str, object] = {
        "type": refusal.type,
        "code": refusal.code,
        "message": refusal.message,
    }
    if refusal.field:
        error["field"] = refusal.field
    error["fix"] = refusal.fix
    error["doc_url"] = _error_page(request, refusal) + "#" + refusal.code
    error["request_id"] = current().request_id
    error.update(refusal.details)
    return json_response({"error": error}, status=refusal.status, headers=refusal.headers)


def _error_page(request: HttpRequest, refusal: Refusal) -> str:
    """The page's address; without a host where the client named a wrong one: never echo that."""
    page = reverse("errors")
    if refusal.code == "host_not_allowed":
        return page
    try:
        return request.build_absolute_uri(page)
    except DisallowedHost:
        return page
