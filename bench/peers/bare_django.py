"""Django's floor: a view function and one prepared statement; no middleware, no DRF, no ORM."""

from hashlib import sha256

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from bench.peers.floor_sql import FIND, answer


def me(request: HttpRequest) -> HttpResponse:
    scheme, _, key = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    row = None
    if scheme == "Bearer":
        with connection.cursor() as cursor:
            cursor.execute(FIND, [sha256(key.encode()).digest()])
            row = cursor.fetchone()
    if row is None:
        return HttpResponse(b"{}", "application/json", 401)
    return HttpResponse(answer(row), "application/json")


urlpatterns = [path("v1/auth/me", me)]
