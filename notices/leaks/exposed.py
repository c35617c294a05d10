"""`POST /v1/revoke_exposed` and the page `/revoke`: anyone who holds an exposed key can kill it.

Every well-formed report is answered alike and costs the same: its keys are not looked up here.
"""

import re
import time
from typing import Any, Final

from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.api.answers import Answer, Count, IdField
from apikeys.api.documentation import endpoint
from apikeys.plaintext import verifying_digests
from notices.leaks.limits import MOST_KEYS_OF_SMALL, take_turn
from notices.models import LeakReport
from web.context import current
from web.errors.refusals import ParameterInvalid, Refusal, RequestInvalid, TemporarilyUnavailable
from web.input.fields import Constant, StrictSerializer, StringField, StringListField
from web.input.text import clean_line
from web.output.views import ApiView
from web.redaction import find_key
from web.telemetry.metrics import count_leak_report

MOST_KEYS: Final = 1000
LONGEST_KEY: Final = 200
LONGEST_URL: Final = 1000
MOST_WAITING: Final = 100_000  # Digests: 3.2 MB.
LONG_QUEUE: Final = 1000
_counted: Final = {"at": 0.0, "digests": 0.0}
URL: Final = r"https://[!-~]+"
KEY: Final = {"type": "string", "maxLength": LONGEST_KEY}
SENT: Final = {
    "keys": ["rk_live_3iS8wW2x_…"],
    "found_at": "https://git.example/acme/app/blob/main/config.py",
}


class ExposedKeys(StrictSerializer):
    """The body of `POST /v1/revoke_exposed`. Its texts need not be keys."""

    keys = StringListField(
        schema={"type": "array", "items": KEY, "minItems": 1, "maxItems": MOST_KEYS},
        help_text="Whole keys, live or test. A key is found in a longer string, too.",
    )
    found_at = StringField(
        schema={"type": "string", "pattern": f"^{URL}$", "maxLength": LONGEST_URL},
        required=False,
        help_text="The https address where they can be read. Their owner gets to see it.",
    )

    def validate_keys(self, keys: list[str]) -> list[str]:
        if not 1 <= len(keys) <= MOST_KEYS or max(map(len, keys)) > LONGEST_KEY:
            message = f"keys must be 1 to {MOST_KEYS} strings of at most {LONGEST_KEY} characters."
            raise ParameterInvalid(message, field="keys")
        return keys

    def validate_found_at(self, url: str) -> str:
        url = clean_line(url, field="found_at", max_length=LONGEST_URL)
        if not re.fullmatch(URL, url):
            message = "found_at must begin with https:// and have no spaces."
            raise ParameterInvalid(message, field="found_at")
        return url


class LeakReportReceived(Answer):
    """What is answered to every well-formed report, if its keys exist or not."""

    id = IdField("rpt")
    object = Constant("leak_report")
    received = Count(help_text="How many keys the request named.")


class RevokeExposedView(ApiView):
    """Reports of exposed keys."""

    authentication_classes = []
    permission_classes = [AllowAny]
    action = "post"
    repeatable = frozenset({"post"})

    @endpoint(
        "revoke_exposed",
        "Kill exposed keys",
        LeakReportReceived,
        request=ExposedKeys,
        status=202,
        tag="Leaked keys",
        auth=[],
        sent={"A key in a repository": SENT},
    )
    def post(self, request: Request) -> Response:
        """Report keys that others can read: in a repository, a log, a chat. Takes no key, and none
        is allowed in the Authorization header. Each reported key that works is dead within seconds,
        for good, and its owner is told. The answer is the same for every key, also for one that is
        unknown, mistyped or dead. From one address 60 reports an hour are taken.
        """
        if "HTTP_AUTHORIZATION" in request.META:
            raise RequestInvalid(
                "This takes no key in the Authorization header. Nothing was done.",
                fix="Take the Authorization header out, and put the exposed keys into “keys”.",
                field="Authorization",
            )
        return Response(take_report(**self.body(ExposedKeys)), status=202)


def take_report(keys: list[str], found_at: str = "") -> dict[str, Any]:
    """Store a well-formed report for `work_off`, and return what is answered.

    Raises:
        OfCatalogue: rate_limit_exceeded.
        TemporarilyUnavailable: MOST_WAITING digests wait.
    """
    take_turn(current().address, keys=len(keys))
    # What is not ASCII is in no key, and `?` stands for it.
    texts = {(find_key(key) or key).encode("ascii", "replace").decode() for key in keys}
    digests = [digest for text in texts for digest in verifying_digests(text)]
    if _waiting() + len(digests) > MOST_WAITING:
        count_leak_report("anyone", "queue_full")
        raise TemporarilyUnavailable("Too many reports wait to be worked off. Nothing was stored.")
    is_small = len(keys) <= MOST_KEYS_OF_SMALL
    report = LeakReport.objects.create(digests=digests, found_at=found_at, is_small=is_small)
    _counted["digests"] += len(digests)
    count_leak_report("anyone", "received")
    return LeakReportReceived({"id": report.pk, "received": len(keys)}).data


def _waiting() -> float:
    """Return how many digests wait. A long queue is counted once a second.

    To count 100,000 takes 25 ms, and a hundred strangers a second would occupy the database.
    """
    if _counted["digests"] < LONG_QUEUE or time.monotonic() > _counted["at"] + 1:
        waiting = LeakReport.objects.aggregate(digests=Sum("digests__len"))["digests"]
        _counted.update(at=time.monotonic(), digests=waiting or 0)
    return _counted["digests"]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_page(request: HttpRequest) -> HttpResponse:
    """Show the form for finders, and what became of it. Never repeats what was typed."""
    shown: dict[str, Any] = {}
    status, headers = 200, {}
    if request.method == "POST":
        keys = request.POST.get("keys", "").replace(",", " ").split()
        found_at = request.POST.get("found_at", "").strip()
        body = ExposedKeys(data={"keys": keys} | ({"found_at": found_at} if found_at else {}))
        try:
            body.is_valid(raise_exception=True)
            shown["report"], status = take_report(**body.validated_data), 202
        except Refusal as refusal:
            shown["refusal"], status, headers = refusal, refusal.status, refusal.headers
    page = render_to_string("revoke.html", shown, request)
    return HttpResponse(page, status=status, headers=headers)
