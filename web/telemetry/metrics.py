"""Prometheus metrics. Every label has a bounded set of values: no path, no client input."""

from functools import cache, partial
from typing import Final

from django import db
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from web.telemetry.metric_files import share_values

share_values()
REGISTRY: Final = CollectorRegistry()

_counter = partial(Counter, registry=REGISTRY)
# Set by the last process that answered /readyz.
_gauge = partial(Gauge, registry=REGISTRY, multiprocess_mode="mostrecent")

_REQUESTS: Final = _counter(
    "reachscore_requests",
    "Requests answered, by URL pattern and status; status is simulated for rehearsed errors.",
    ["route", "status"],
)
_SECONDS: Final = Histogram(
    "reachscore_request_seconds",
    "Time to answer, by URL pattern.",
    ["route"],
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_AUTHENTICATIONS: Final = _counter(
    "reachscore_authentications",
    "Authentications, by result: ok, or the code of the refusal.",
    ["result"],
)
_KEYS: Final = _counter("reachscore_keys", "Keys changed by the web processes, by verb.", ["verb"])
_DATABASE_ERRORS: Final = _counter(
    "reachscore_database_errors", "Requests that met a database error, by its class.", ["error"]
)
_LEAK_REPORTS: Final = _counter(
    "reachscore_leak_reports",
    "Reports of leaked keys, by who sent them and what became of them.",
    ["origin", "result"],
)
WARNINGS: Final = _gauge(
    "reachscore_warnings", "Warnings of the last /readyz, by kind; 0 if there are none.", ["kind"]
)
OLDEST_SNAPSHOT: Final = _gauge(
    "reachscore_oldest_snapshot_transactions",
    "Age of the oldest open snapshot in transactions, at the last /readyz.",
)
WAITING: Final = _gauge(
    "reachscore_deliver_waiting",
    "What waits for manage.py deliver, by lane, at the last /readyz.",
    ["lane"],
)
OLDEST_WAITING: Final = _gauge(
    "reachscore_deliver_oldest_seconds",
    "Since when the oldest of these waits; of mails, those that are sent at once.",
    ["lane"],
)
ENDED: Final = _gauge(
    "reachscore_deliver_ended",
    "Deliveries since the beginning, by result: delivered, or failed (given up).",
    ["result"],
)

_DATABASE_ERROR_NAMES: Final = {
    db.OperationalError: "operational",
    db.IntegrityError: "integrity",
    db.InterfaceError: "interface",
    db.Error: "other",  # The base class of the others, so it comes last.
}

KEYS_ISSUED: Final = _KEYS.labels("issued")
KEYS_REVOKED: Final = _KEYS.labels("revoked")
# A look-up by labels costs more than the increment, so each child is cached.
_requests = cache(_REQUESTS.labels)
_seconds = cache(_SECONDS.labels)
_authentications = cache(_AUTHENTICATIONS.labels)


def count_request(*, route: str, status: int | str, seconds: float) -> None:
    """Count one answered request. `status` may be a word, such as "simulated"."""
    _requests(route, status).inc()
    _seconds(route).observe(seconds)


def count_authentication(result: str) -> None:
    _authentications(result).inc()


def count_leak_report(origin: str, result: str) -> None:
    _LEAK_REPORTS.labels(origin, result).inc()


def count_database_error(exception: BaseException | None) -> None:
    for kind, name in _DATABASE_ERROR_NAMES.items():
        if isinstance(exception, kind):
            _DATABASE_ERRORS.labels(name).inc()
            return
