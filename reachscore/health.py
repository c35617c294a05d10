"""For whatever watches the service: is the process up, and may it be sent requests?"""

from functools import cache

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from apikeys.models import KeySecret
from reachscore.api.metrics import count_database_error


@csrf_exempt
@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 while the process is up, whatever the database does."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when requests can be served, else 503 and what is wrong."""
    try:
        problems = _problems()
    except DatabaseError as error:
        count_database_error(error)
        problems = ["The database does not answer."]
    if problems:
        return JsonResponse({"status": "unavailable", "problems": problems}, status=503)
    return JsonResponse({"status": "ok"})


def _problems() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only')")
        if cursor.fetchone() == ("on",):
            return ["The database is read-only."]
    unapplied = _migrations_of_the_code() - set(MigrationRecorder(connection).applied_migrations())
    if unapplied:
        count = len(unapplied)
        subject = "1 migration is" if count == 1 else f"{count} migrations are"
        return [f"{subject} not applied; run manage.py migrate."]
    if KeySecret.some_under_missing_pepper():
        return ["A stored secret hangs on a pepper that API_KEY_PEPPERS does not list."]
    return []


@cache
def _migrations_of_the_code() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.nodes)
