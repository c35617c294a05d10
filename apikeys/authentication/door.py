"""The door, in front of Django: answers the two questions of every call, from `environ` to bytes.

`GET /v1/auth/me` asks who calls, `/v1/authz/…` asks if a gateway's request may pass. Everything
else goes to Django, and so does an odd request for auth/me: a view there answers the same.
tests/api/test_door.py compares the two byte by byte.
"""

import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.utils import timezone

from apikeys.authentication import forward
from apikeys.authentication.bearer import authenticate
from apikeys.authentication.simulation import META_NAME
from web.context import RequestContext, begin_request
from web.environ import ANYTHING, Application, Environ
from web.errors.refusals import Refusal, envelope
from web.exception_handlers import note_fault, refusal_for
from web.input.body import has_body
from web.json_bytes import to_json
from web.middleware import protective_headers
from web.proxies import FORWARD_AUTH_PATH
from web.rules import refuse_plain_http, refuse_unreadable_header
from web.telemetry.request_log import log_request

ME: Final = "/v1/auth/me"
PLAIN_HOST: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
STATUS_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
JSON: Final = {"Content-Type": "application/json"}

Headers = dict[str, str]


class Question(NamedTuple):
    """What the door answers: headers and body of a 200, or a refusal that `adapt` completes."""

    route: str
    answer: Callable[[Environ], tuple[Headers, bytes]]
    adapt: Callable[[Refusal, Environ], Refusal]


class Door:
    """A WSGI application that answers its questions, and hands on every other request."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.headers = {scheme: protective_headers(scheme) for scheme in ("http", "https")}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        question = question_of(environ)
        if question is None:
            return self.application(environ, start_response)
        began = time.perf_counter()
        context = begin_request(environ)
        status, headers, body, fault = _answer(question, environ, context)
        headers = {
            **self.headers[environ["wsgi.url_scheme"]],
            **headers,
            **context.headers,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Request-Id": context.request_id,
        }
        seconds = time.perf_counter() - began
        log_request(context, environ["REQUEST_METHOD"], question.route, status, seconds, fault)
        start_response(STATUS_LINES[status], list(headers.items()))
        return [body]


def question_of(environ: Environ) -> Question | None:
    """Return what the door answers, or None for a request that is Django's."""
    path = environ["PATH_INFO"]
    if path == ME:
        return AUTH_ME if _is_plain(environ) else None
    return FORWARD_AUTH if path.startswith(FORWARD_AUTH_PATH) else None


def _is_plain(environ: Environ) -> bool:
    """Return True for a GET or HEAD with nothing but a key, for a host without a port."""
    host = environ.get("HTTP_HOST", "")
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and not environ.get("QUERY_STRING")
        and environ.get("HTTP_ACCEPT", ANYTHING) == ANYTHING
        and META_NAME not in environ
        and not environ.get("HTTP_COOKIE")
        and not has_body(environ)
        and host in settings.ALLOWED_HOSTS
        and PLAIN_HOST.fullmatch(host) is not None  # Not a pattern, which Django must read.
    )


def _answer(
    question: Question, environ: Environ, context: RequestContext
) -> tuple[int, Headers, bytes, dict[str, object]]:
    """Return status, headers, body, and fields of a fault for the log."""
    try:
        headers, body = question.answer(environ)
        context.succeed()
    except Exception as exception:
        refusal = refusal_for(exception)
        fault = note_fault(exception, refusal)
        refusal = question.adapt(refusal, environ)
        return refusal.status, JSON | refusal.headers, envelope(refusal), fault
    return HTTPStatus.OK, headers, body, {}


def _auth_me(environ: Environ) -> tuple[Headers, bytes]:
    refuse_unreadable_header()
    refuse_plain_http(environ)
    caller = authenticate(environ)
    caller.require_rate(now=timezone.now())
    return JSON, to_json(caller.auth_context())


AUTH_ME: Final = Question(ME[1:], _auth_me, lambda refusal, _: refusal)
FORWARD_AUTH: Final = Question(
    FORWARD_AUTH_PATH[1:], lambda environ: (forward.authorize(environ), b""), forward.for_gateway
)
