"""Which part of the service a line of code belongs to, by its file."""

from types import FrameType
from typing import Final

# The first that fits a frame, from the innermost outwards, has the sample.
GROUPS: Final = (
    ("psycopg: parameters, statement, row", ("/psycopg/", "/psycopg_binary/")),
    ("Django's cursor and connection", ("/django/db/",)),
    ("log line", ("/logging/__init__", "/reachscore/api/logs", "/reachscore/api/redaction")),
    ("metrics", ("/prometheus_client/", "/reachscore/api/metrics")),
    (
        "JSON of the answer",
        ("/rest_framework/renderers", "/rest_framework/utils/encoders", "/json/"),
    ),
    (
        "authentication: our Python",
        ("/apikeys/", "/hmac.py", "/ipaddress.py", "/reachscore/api/origin", "/accounts/"),
    ),
    ("DRF: view, request, negotiation, query", ("/rest_framework/", "/reachscore/api/views")),
    ("DRF: view, request, negotiation, query", ("/reachscore/api/parameters",)),
    ("our middleware", ("/reachscore/api/",)),
    (
        "Django's middleware",
        ("/django/middleware/", "/django/contrib/", "/whitenoise/", "/csp/", "/utils/deprecation"),
    ),
    ("Django: handler, URLs, request, response", ("/django/", "/asgiref/")),
)
OTHER: Final = "WSGI and the profiler itself"


def group_of(frame: FrameType | None) -> str:
    """Return the group of the innermost frame that belongs to one."""
    while frame is not None:
        file = frame.f_code.co_filename
        for name, parts in GROUPS:
            if any(part in file for part in parts):
                return name
        frame = frame.f_back
    return OTHER


def function_of(frame: FrameType) -> str:
    """Name the function that is running, by its module's last two parts."""
    file = "/".join(frame.f_code.co_filename.split("/")[-2:])
    return f"{file}:{frame.f_lineno} {frame.f_code.co_name}"
