"""Static files of the pages."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise with a fix: it refuses a range of one byte (its issue 711, open in 6.12)."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = WhiteNoiseMiddleware.serve(static_file, request)
        if response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return response
        size = int(response["Content-Range"].rpartition("/")[2])
        first, last = static_file.get_byte_range(request.META.pop("HTTP_RANGE"), size)
        if not first == last < size:
            return response
        whole = static_file.get_response(request.method, request.META)
        byte = b""
        if whole.file is not None:  # It is None for a HEAD.
            with whole.file:
                whole.file.seek(first)
                byte = whole.file.read(1)
        ranged = {"Content-Range": f"bytes {first}-{last}/{size}", "Content-Length": "1"}
        headers = dict(whole.headers) | ranged
        return HttpResponse(byte, status=HTTPStatus.PARTIAL_CONTENT, headers=headers)
