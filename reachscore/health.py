"""Liveness (`/healthz`) and readiness (`/readyz`) probes."""

from collections.abc import Iterator
from functools import cache
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from apikeys.models import KeySecret
from notices.deliver.figures import unseen_lanes
from staff.models.second_factor import users_by_key
from web.database.session import SESSION
from web.errors.faults import describe_fault
from web.telemetry.metrics import OLDEST_SNAPSHOT, WARNINGS, count_database_error

CLOCKS_DIFFER_SECONDS: Final = 30

LOOK_AROUND: Final = """
    SELECT current_setting('transaction_read_only'), EXTRACT(EPOCH FROM clock_timestamp())::float8
"""

# Waiting commits are those of this role; a replica that keeps up never takes a second. PostgreSQL
# hides when other roles' snapshots began, so their age is counted in transactions. Vacuum workers
# hold up nothing and have no role.
LOOK_AT_SESSIONS: Final = """
    SELECT count(*) FILTER (
               WHERE wait_event = 'SyncRep' AND query_start < now() - interval '1 second'),
           max(age(backend_xmin))
      FROM pg_stat_activity
     WHERE COALESCE(datname, current_database()) = current_database() AND usesysid IS NOT NULL
"""
LOOK_AT_SETTINGS: Final = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
# At that age, authentication takes ten times as long if one organization makes all the calls.
OLDEST_SNAPSHOT_TRANSACTIONS: Final = 50_000


@csrf_exempt
@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 while the process is up. Does not ask the database."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if this instance can serve requests, else 503 with its problems.

    A fault that every instance shares is a warning, in the body and in a metric, with 200: else one
    lost standby would take all instances out of the load balancer.
    """
    warnings, fault = [], None
    try:
        problems = _problems()
        for kind, count, warning in _warnings():
            WARNINGS.labels(kind).set(count)
            if count:
                warnings.append(warning)
    except DatabaseError as error:
        count_database_error(error)
        problems, fault = ["The database does not answer."], describe_fault(error)
    if not problems:
        return JsonResponse({"status": "ok", "warnings": warnings})
    response = JsonResponse({"status": "unavailable", "problems": problems}, status=503)
    response.logged_fields = {"problems": problems, "fault": fault}  # type: ignore[attr-defined]
    return response


def _problems() -> list[str]:
    """Return the first reason why this instance cannot serve; empty if it can."""
    with connection.cursor() as cursor:
        cursor.execute(LOOK_AROUND)
        read_only, database_time = cursor.fetchone()
    if read_only == "on":
        return ["The database is read-only."]
    seconds = timezone.now().timestamp() - database_time
    if abs(seconds) > CLOCKS_DIFFER_SECONDS:
        return [f"This process's clock is {seconds:+.0f} s from the database's."]
    recorder = MigrationRecorder(connection)
    # Not its applied_migrations(): that also reads times, which need our DateStyle.
    applied = recorder.migration_qs.values_list("app", "name") if recorder.has_table() else ()
    if count := len(_migrations_of_the_code().difference(applied)):
        subject = "1 migration is" if count == 1 else f"{count} migrations are"
        return [f"{subject} not applied; run manage.py migrate."]
    if KeySecret.objects.need_missing_pepper():
        return ["A stored secret needs a pepper that API_KEY_PEPPERS does not list."]
    if not users_by_key().keys() <= settings.ENCRYPTION_KEYS.keys():
        return ["A second factor of staff needs a key that ENCRYPTION_KEYS does not list."]
    return []


def _warnings() -> Iterator[tuple[str, int, str]]:
    """Yield for every kind of warning: its name in the metric, its count, and a sentence."""
    with connection.cursor() as cursor:
        cursor.execute(LOOK_AT_SESSIONS)
        waiting, age = cursor.fetchone()
        cursor.execute(LOOK_AT_SETTINGS, [list(SESSION)])
        differing = [f"{name} {SESSION[name]}" for name, is_ in cursor if is_ != SESSION[name]]
    yield "commits_waiting", waiting, f"Commits wait for a synchronous replica: {waiting}."
    OLDEST_SNAPSHOT.set(age)
    is_old = age > OLDEST_SNAPSHOT_TRANSACTIONS
    yield "snapshot_old", int(is_old), f"A snapshot is {age} transactions old: a dump, as a rule."
    is_plain = settings.PRODUCTION and not (settings.GATEWAY_TOKENS or settings.TRUSTED_PROXY_COUNT)
    warning = "Neither GATEWAY_TOKEN nor TRUSTED_PROXY_COUNT is set: no request counts as HTTPS."
    yield "proxy_unknown", int(is_plain), warning
    unseen = unseen_lanes()
    warning = f"manage.py deliver was not seen for a minute: {', '.join(unseen)} wait."
    yield "deliver_missing", len(unseen), warning
    warning = f"Settings of the database session differ, it should be: {', '.join(differing)}."
    yield "settings_differing", len(differing), warning


@cache
def _migrations_of_the_code() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.nodes)
