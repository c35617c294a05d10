"""What is counted for Prometheus. Every label comes from a bounded set: no path, no client input.

A command's own process is not scraped, so keys issued and revoked are those of the web processes.
"""

from functools import cache
from typing import Final

from django import db
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from web.telemetry.metric_files import share_values

share_values()
REGISTRY: Final = CollectorRegistry()

_REQUESTS: Final = Counter(
    "reachscore_requests",
    "Requests answered, by URL pattern and status, or simulated.",
    ["route", "status"],
    registry=REGISTRY,
)
_SECONDS: Final = Histogram(
    "reachscore_request_seconds",
    "Time to answer, by URL pattern.",
    ["route"],
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_AUTHENTICATIONS: Final = Counter(
    "reachscore_authentications",
    "Keys looked at, by result: ok, or the code of the refusal.",
    ["result"],
    registry=REGISTRY,
)
_KEYS: Final = Counter(
    "reachscore_keys", "Keys changed by the web processes, by verb.", ["verb"], registry=REGISTRY
)
_DATABASE_ERRORS: Final = Counter(
    "reachscore_database_errors",
    "Requests that met a database error, by its class.",
    ["error"],
    registry=REGISTRY,
)
_WARNINGS: Final = Gauge(
    "reachscore_warnings",
    "What /readyz warns of, by kind, as its last answer found it; 0 for nothing.",
    ["kind"],
    registry=REGISTRY,
    multiprocess_mode="mostrecent",
)
OLDEST_SNAPSHOT: Final = Gauge(
    "reachscore_oldest_snapshot_transactions",
    "Age of the oldest open snapshot in transactions, as the last /readyz found it.",
    registry=REGISTRY,
    multiprocess_mode="mostrecent",
)

# The most telling first: each is caught as itself, whatever subclass the driver raised.
_DATABASE_ERROR_NAMES: Final = {
    db.OperationalError: "operational",
    db.IntegrityError: "integrity",
    db.InterfaceError: "interface",
    db.Error: "other",
}

# Looking a child up by its labels costs more than counting; each is looked up once.
_requests = cache(_REQUESTS.labels)
_seconds = cache(_SECONDS.labels)
_authentications = cache(_AUTHENTICATIONS.labels)

KEYS_ISSUED: Final = _KEYS.labels("issued")
KEYS_REVOKED: Final = _KEYS.labels("revoked")


def count_request(*, route: str, status: int | str, seconds: float) -> None:
    """Count one request that was answered; a word in the place of its status is a label too."""
    _requests(route, status).inc()
    _seconds(route).observe(seconds)


def count_authentication(result: str) -> None:
    """Count one look at a key; `result` is "ok" or a refusal's code."""
    _authentications(result).inc()


def count_database_error(exception: BaseException | None) -> None:
    """Count the exception if the database is behind it."""
    for kind, name in _DATABASE_ERROR_NAMES.items():
        if isinstance(exception, kind):
            _DATABASE_ERRORS.labels(name).inc()
            return


def show_warning(kind: str, count: int) -> None:
    """Show how many of this kind of warning there are now."""
    _WARNINGS.labels(kind).set(count)
