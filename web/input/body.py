"""Request bodies: bounded, and parsed strictly as one JSON object."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import IO, Any, Final, Never

from django.utils.http import parse_header_parameters
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from web.environ import DECLARED_CHARSET
from web.errors.catalogue import MOST_API_BYTES
from web.errors.refusals import InvalidJson, OfCatalogue, ParameterUnknown
from web.redaction import quote_input

JSON_TYPES: Final = ("application/json", "application/merge-patch+json")
MOST_LENGTH_DIGITS: Final = 10
UNSUPPORTED: Final = "unsupported_media_type"
LONGEST_EMPTY_BODY: Final = 1000  # Of white space and `{}`.


def has_body(environ: Mapping[str, Any]) -> bool:
    """Return True if the request has a body, chunked ones included (RFC 9112 §6.3)."""
    length = environ.get("CONTENT_LENGTH") or "0"
    return length != "0" or "HTTP_TRANSFER_ENCODING" in environ


def refuse_body(request: Request, *, parameters: Collection[str]) -> None:
    """Raise ParameterUnknown if a request that reads only the query has a non-empty body."""
    # `{"cascade": true}` sent with a DELETE must not be ignored silently. A chunked body is refused
    # even if it looks empty, because granian passes on a broken one as complete.
    if not has_body(request.META):
        return
    length = request.META.get("CONTENT_LENGTH") or ""
    is_number = len(length) <= MOST_LENGTH_DIGITS and length.isascii() and length.isdecimal()
    if is_number and int(length) <= LONGEST_EMPTY_BODY:
        body: bytes = request.META["wsgi.input"].read(int(length))
        if len(body) == int(length) and b"".join(body.split()) in (b"", b"{}"):
            return
    names = ", ".join(parameters)
    raise ParameterUnknown(
        f"A {request.method} takes no body. Nothing was done.",
        fix=f"Send no body; parameters go into the query: {names}." if names else "Send no body.",
    )


def refuse_by_headers(request: Request, *, most: int = MOST_API_BYTES) -> None:
    """Refuse a body that its headers show to be unbounded, too large or not plain UTF-8 JSON."""
    # A chunked one, too: granian passes it on as an empty one.
    length = request.META.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdecimal()):
        raise OfCatalogue("length_required")
    if len(length) > MOST_LENGTH_DIGITS or int(length) > most:
        message = f"The request body is larger than {most // 1024} KiB."
        raise OfCatalogue("request_too_large", message)
    if int(length) == 0:
        return
    media_type, parameters = parse_header_parameters(request.META.get("CONTENT_TYPE", ""))
    taken = [parser.media_type for parser in request.parsers or ()]
    if media_type not in taken:
        headers = {"Accept-Patch": ", ".join(taken)} if request.method == "PATCH" else {}
        raise OfCatalogue(UNSUPPORTED, headers=headers)  # RFC 5789 §2.2
    if parameters.get(DECLARED_CHARSET, "utf-8").lower() not in ("utf-8", "utf8"):
        raise OfCatalogue(UNSUPPORTED, "JSON is read in UTF-8 only.", fix="Leave the charset out.")
    codings = request.META.get("HTTP_CONTENT_ENCODING", "").lower().split(",")
    if not {coding.strip() for coding in codings} <= {"", "identity"}:
        raise OfCatalogue(
            UNSUPPORTED,
            "A request body must not be compressed or otherwise encoded.",
            fix="Send the body uncompressed, without Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )


class JsonObjectParser(BaseParser):
    """A strict parser of JSON (RFC 8259): one object, UTF-8, no duplicate names."""

    media_type = JSON_TYPES[0]

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> dict[str, Any]:
        """Return the members of the object. Raise InvalidJson for anything else."""
        data = stream.read()
        if len(data) < int(parser_context["request"].META["CONTENT_LENGTH"]):
            raise InvalidJson("The request body ends before its Content-Length.")
        value = read_json(data)
        if not isinstance(value, dict):
            raise InvalidJson("The request body is JSON, but not an object.")
        return value


class MergePatchParser(JsonObjectParser):
    """The same for PATCH (RFC 7396): null takes a limit away, and arrays are replaced whole."""

    media_type = JSON_TYPES[1]


def read_json(data: bytes) -> Any:
    """Return the JSON value in `data`. Raise InvalidJson if there is none."""
    try:
        text = data.decode("utf-8")
        if text.startswith("\ufeff"):
            raise InvalidJson("The request body begins with a byte order mark.")
        return json.loads(text, object_pairs_hook=_members, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidJson("The JSON in the request body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise InvalidJson("The request body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidJson(f"The request body is not JSON: {error.msg}, {where}.") from None
    except ValueError:
        raise InvalidJson("The request body holds a number that is too long.") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members. Raise InvalidJson for a duplicate name: parsers disagree which counts."""
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise InvalidJson(f"The request body has the name {quote_input(twice)} twice.")
    return members


def _refuse_constant(name: str) -> Never:
    raise InvalidJson(f"{name} is not JSON.")
