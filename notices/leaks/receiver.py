"""`POST /v1/leak_reports/…`: keys that GitHub or deps.dev found in public, in GitHub's protocol.

There is no timestamp and no nonce: a captured report can be sent again for ever, so all of it is
idempotent.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.plaintext import is_well_formed, verifying_digests
from apikeys.verbs.leak import Place
from audit.actor import Actor
from notices.leaks.queue import kill
from notices.leaks.signatures import PublicKeys, require_signed
from web.context import current
from web.environ import MOST_REPORT_BYTES
from web.errors.refusals import InvalidJson, OfCatalogue, ResourceNotFound, TemporarilyUnavailable
from web.exception_handlers import refusal_for
from web.input.body import read_json, refuse_by_headers
from web.output.views import ApiView
from web.redaction import safe_text
from web.telemetry.metrics import count_leak_report

# By origin: the first word of its headers, and where its public keys are.
ORIGINS: Final = {
    "github": ("GITHUB", PublicKeys("api.github.com", "/meta/public_keys/secret_scanning")),
    "depsdev": (
        "GOSST",
        PublicKeys("storage.googleapis.com", "/depsdev-gcp-public-keys/secret_scanning"),
    ),
}
MOST_RECORDS: Final = 50_000  # 10 MiB of records without an URL.
LONGEST_TYPE: Final = 100
# Of a worker's four threads, one at most works on a report.
_lock: Final = Lock()


class LeakReportView(ApiView):
    """A report by a partner. Answers for each token if it is a key of ours."""

    authentication_classes = []
    permission_classes = [AllowAny]
    repeatable = frozenset({"post"})
    action = "post"

    @extend_schema(exclude=True)  # For two services that know the protocol, not for clients.
    def post(self, request: Request, origin: str) -> Response:
        """Act on the report. Count it by its result."""
        result = "ok"
        try:
            return Response(self._answer(request, origin))
        except Exception as exception:
            result = refusal_for(exception).code
            raise
        finally:
            count_leak_report(origin, result)

    def _answer(self, request: Request, origin: str) -> list[dict[str, str]]:
        word, keys = ORIGINS[origin]
        identifier = request.META.get(f"HTTP_{word}_PUBLIC_KEY_IDENTIFIER")
        signature = request.META.get(f"HTTP_{word}_PUBLIC_KEY_SIGNATURE")
        if not (identifier and signature):
            raise ResourceNotFound
        refuse_by_headers(request, most=MOST_REPORT_BYTES)
        current().allow("leak_report")
        with _at_work():
            key = keys.find(identifier)
        # Without the lock: a stranger who sends a body slowly must not keep out real reports.
        body = request.META["wsgi.input"].read(int(request.META["CONTENT_LENGTH"]))
        require_signed(key, signature, body)
        with _at_work():
            return _work_off(read_json(body), origin)


@contextmanager
def _at_work() -> Iterator[None]:
    """Hold this worker's lock for reports. Raise TemporarilyUnavailable if another report does."""
    if not _lock.acquire(blocking=False):
        raise TemporarilyUnavailable("Another report is being worked on.")
    try:
        yield
    finally:
        _lock.release()


def _work_off(records: Any, origin: str) -> list[dict[str, str]]:
    """Kill what was found. Return GitHub's feedback, with a digest in place of each token.

    Raises InvalidJson or OfCatalogue for what is no report; OperationalError or InterfaceError if
    a part was not done, so that the partner sends all of it again.
    """
    if not isinstance(records, list):
        raise InvalidJson("A report is a JSON array.")
    if len(records) > MOST_RECORDS:
        message = f"The report has more than {MOST_RECORDS} records."
        raise OfCatalogue("request_too_large", message)
    places: dict[bytes, Place] = {}
    told: list[tuple[dict[str, str], list[bytes]]] = []
    for record in records:
        fields = record if isinstance(record, dict) else {}
        token, kind, url, source = (
            value if isinstance(value := fields.get(name), str) else ""
            for name in ("token", "type", "url", "source")
        )
        plaintext = token.strip()
        # The type is not read: a live key can be reported as another vendor's.
        digests = verifying_digests(plaintext) if is_well_formed(plaintext) else []
        for digest in digests:
            places.setdefault(digest, Place(url, source))
        token_hash = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        said = {"token_hash": token_hash, "token_type": safe_text(kind)[:LONGEST_TYPE]}
        told.append((said, digests))
    known = kill(places, actor=Actor.scanner(origin), source=origin)
    return [
        {**said, "label": "true_positive" if known.intersection(digests) else "false_positive"}
        for said, digests in told
    ]
