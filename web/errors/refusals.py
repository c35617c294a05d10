"""Refusal, the base of every 4xx and 503, and the error envelope of the response."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse

from web.context import current
from web.errors.catalogue import CATALOGUE
from web.json_bytes import to_json

# Longer than a restart of the database, short enough for clients to wait.
RETRY_AFTER_SECONDS: Final = 5
MOST_FAULTS: Final = 20  # Listed of one request; 64 KiB hold thousands.


class Refusal(Exception):
    """A rule says no. Has a code of the catalogue, and overrides of its message and fix.

    A rule of the domain has a subclass with its `code`. `field` is the request field at fault,
    `headers` are added to the response, `details` are extra members of the error for programs. Pass
    client input through `quote_input` before it goes into any of them.
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
        self.others: list[Refusal] = []  # Further faults of the same request, by `Faults`.
        super().__init__(self.message)


class OfCatalogue(Refusal):
    """A refusal for a code that needs no subclass."""

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
    """No such path, or no such object for this caller. Both look alike, so that ids do not leak."""

    code = "resource_not_found"


class TemporarilyUnavailable(Refusal):
    """The database is away, busy or read-only. Retrying helps."""

    code = "temporarily_unavailable"

    def __init__(self, message: str = "", *, fix: str = "") -> None:
        super().__init__(message, fix=fix, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


class Faults(list["Refusal"]):
    """The refusals of one request, so that all its faults are listed at once."""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Add the refusal that ends the block. Raise the first one if MOST_FAULTS are found."""
        try:
            yield
        except Refusal as refusal:
            self += [refusal, *refusal.others]
            if len(self) >= MOST_FAULTS:
                self.refuse()

    def refuse(self) -> None:
        """Raise the first refusal, with the others beside it. Do nothing if there is none."""
        if self:
            first, *first.others = self[:MOST_FAULTS]
            raise first from None


def refusal_response(refusal: Refusal) -> HttpResponse:
    """Return a response with the error envelope and the refusal's headers."""
    body = envelope(refusal)
    headers = {**refusal.headers, "Content-Length": str(len(body))}
    return HttpResponse(body, "application/json", refusal.status, headers=headers)


def envelope(refusal: Refusal) -> bytes:
    """Return the contract's error envelope as JSON."""
    error: dict[str, object] = {
        "type": refusal.type,
        "code": refusal.code,
        "message": refusal.message,
        **({"field": refusal.field} if refusal.field else {}),
        "fix": refusal.fix,
        "doc_url": f"{settings.PUBLIC_URL}{_errors_path()}#{refusal.code}",
        "request_id": current().request_id,
        **refusal.details,
    }
    if refusal.field and CATALOGUE[refusal.code].status == HTTPStatus.BAD_REQUEST:
        error["errors"] = [
            {"field": fault.field, "code": fault.code, "message": fault.message, "fix": fault.fix}
            for fault in (refusal, *refusal.others)
        ]
    return to_json({"error": error})


@cache
def _errors_path() -> str:
    return reverse("errors")  # Otherwise a fifth of the time of a malformed key.
