"""Request bodies: one JSON object, bounded, read strictly."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import IO, Any, Final, Never

from django.http import HttpRequest
from django.utils.http import parse_header_parameters
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from web.errors.catalogue import MAX_BODY_BYTES
from web.errors.refusals import InvalidJson, OfCatalogue, ParameterUnknown
from web.redaction import quote_input

MOST_LENGTH_DIGITS: Final = 10
UNSUPPORTED: Final = "unsupported_media_type"
LONGEST_EMPTY_BODY: Final = 1000  # White space and `{}` are no more than this.


def has_body(request: Request | HttpRequest) -> bool:
    """Tell whether the request has a body, of known length or not (RFC 9112 §6.3)."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return length != "0" or "HTTP_TRANSFER_ENCODING" in request.META


def refuse_body(request: Request, *, parameters: Collection[str]) -> None:
    """Refuse a body that says anything where only the query, with `parameters`, is read.

    `{"cascade": true}` sent with a DELETE must not be dropped in silence. Nor may one of which a
    part is missing count as empty, so a chunked one is refused: the server hands over a broken one
    as whole. Raises ParameterUnknown.
    """
    if not has_body(request):
        return
    length = request.META.get("CONTENT_LENGTH") or ""
    is_read = len(length) <= MOST_LENGTH_DIGITS and length.isascii() and length.isdecimal()
    if is_read and int(length) <= LONGEST_EMPTY_BODY:
        body: bytes = request.META["wsgi.input"].read(int(length))
        if len(body) == int(length) and b"".join(body.split()) in (b"", b"{}"):
            return
    names = ", ".join(parameters)
    raise ParameterUnknown(
        f"A {request.method} takes no body. Nothing was done.",
        fix=f"Send no body; parameters go into the query: {names}." if names else "Send no body.",
    )


def refuse_unbounded_body(request: Request) -> None:
    """Refuse a body by its headers, before a byte of it is read.

    Without Content-Length the server hands over an empty body, so a chunked one would be taken
    for no fields at all. Raises `length_required`, `request_too_large`.
    """
    length = request.META.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdecimal()):
        raise OfCatalogue("length_required")
    if len(length) > MOST_LENGTH_DIGITS or int(length) > MAX_BODY_BYTES:
        raise OfCatalogue("request_too_large")


def refuse_undeclared_body(request: Request) -> None:
    """Refuse a body that is not declared as exactly JSON, not compressed, in UTF-8 if it names
    a charset.

    Raises `unsupported_media_type`.
    """
    if request.META["CONTENT_LENGTH"].strip("0") == "":
        return
    media_type, parameters = parse_header_parameters(request.META.get("CONTENT_TYPE", ""))
    if media_type != "application/json":
        raise OfCatalogue(UNSUPPORTED)
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise OfCatalogue(UNSUPPORTED, "JSON is read in UTF-8 only.", fix="Leave the charset out.")
    codings = request.META.get("HTTP_CONTENT_ENCODING", "").lower().split(",")
    if not {coding.strip() for coding in codings} <= {"", "identity"}:
        raise OfCatalogue(
            UNSUPPORTED,
            "A body is read as it is: in no Content-Encoding but identity.",
            fix="Send the body uncompressed, without Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )


class JsonObjectParser(BaseParser):
    """Parse `application/json` (RFC 8259), and strictly: one object, UTF-8, no name twice."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object's members.

        Raises InvalidJson.
        """
        try:
            data = stream.read()
            if len(data) < int((parser_context or {})["request"].META["CONTENT_LENGTH"]):
                raise InvalidJson("The request body ends before its Content-Length.")
            text = data.decode("utf-8")
            if text.startswith("\ufeff"):
                raise InvalidJson("The request body begins with a byte order mark.")
            value = json.loads(
                text,
                object_pairs_hook=_object_without_repeats,
                parse_constant=_refuse_constant,
            )
        except RecursionError:
            raise InvalidJson("The JSON in the request body is nested too deeply.") from None
        except UnicodeDecodeError:
            raise InvalidJson("The request body is not UTF-8.") from None
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise InvalidJson(f"The request body is not JSON: {error.msg}, {where}.") from None
        except ValueError:
            raise InvalidJson("The request body holds a number that is too long.") from None
        if not isinstance(value, dict):
            raise InvalidJson("The request body is JSON, but not an object.")
        return value


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers may disagree on which of two equal names counts, so there must not be two."""
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise InvalidJson(f"The request body has the name {quote_input(twice)} twice.")
    return members


def _refuse_constant(name: str) -> Never:
    raise InvalidJson(f"{name} is not JSON.")
