"""Django's floor: a view function and one prepared statement; no middleware, no DRF, no ORM."""

from hashlib import sha256

from django.db import connection
from django.http import HttpRequest, HttpResponse

from bench.peers.answer import FIND, answer_of_row


def me(request: HttpRequest) -> HttpResponse:
    scheme, _, key = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    row = None
    if scheme == "Bearer":
        with connection.cursor() as cursor:
            cursor.execute(FIND, [sha256(key.encode()).digest()])
            row = cursor.fetchone()
    if row is None:
        return HttpResponse(b"{}", "application/json", 401)
    return HttpResponse(answer_of_row(row), "application/json")
