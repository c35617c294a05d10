"""`POST /v1/revoke_exposed` and the page `/revoke`: anyone who holds an exposed key can kill it.

Every well-formed report is answered alike and costs the same: its keys are not looked up here.
"""

import re
from collections.abc import Collection
from itertools import chain
from typing import Any, Final

from django.db.models import Sum
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
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
from notices.models.leak_report import DIGEST_BYTES
from web.context import current
from web.errors.refusals import Refusal, RequestInvalid, TemporarilyUnavailable
from web.input.fields import Constant, StrictSerializer, StringField, StringListField
from web.input.text import clean_line
from web.output.views import ApiView
from web.redaction import find_key
from web.telemetry.metrics import count_leak_report

MOST_KEYS: Final = 1000
LONGEST_KEY: Final = 200
LONGEST_URL: Final = 1000
MOST_WAITING: Final = 100_000  # Digests: 3.2 MB.
URL: Final = r"https://[!-~]+"
BETWEEN_KEYS: Final = re.compile(r"[\s,;]+")


class ExposedKeyList(StringListField):
    """1 to MOST_KEYS strings, keys or not."""

    wants = f"1 to {MOST_KEYS} keys, each a string of at most {LONGEST_KEY} characters"

    def to_internal_value(self, data: Any) -> list[str]:
        keys = super().to_internal_value(data)
        if not 1 <= len(keys) <= MOST_KEYS or any(len(key) > LONGEST_KEY for key in keys):
            self.refuse()
        return keys


class FoundAt(StringField):
    """An https address; hostile text, as every address that a stranger sends."""

    wants = "an address that begins with https:// and has no spaces"

    def to_internal_value(self, data: Any) -> str:
        """Return the address. Raise ParameterInvalid, or ContainsApiKey for one with a key."""
        text = super().to_internal_value(data)
        url = clean_line(text, field="found_at", max_length=LONGEST_URL)
        return url if re.fullmatch(URL, url) else self.refuse()


class ExposedKeys(StrictSerializer):
    """The body of `POST /v1/revoke_exposed`."""

    keys = ExposedKeyList(
        schema={
            "type": "array",
            "items": {"type": "string", "maxLength": LONGEST_KEY},
            "minItems": 1,
            "maxItems": MOST_KEYS,
        },
        help_text="Whole keys, live or test. A key is found in a longer string, too.",
    )
    found_at = FoundAt(
        schema={"type": "string", "pattern": f"^{URL}$", "maxLength": LONGEST_URL},
        required=False,
        help_text="The https address where they can be read. Their owner gets to see it.",
    )


class LeakReportReceived(Answer):
    """What is answered to every well-formed report, whatever its keys are."""

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
        sent={
            "A key in a repository": {
                "keys": ["rk_live_3iS8wW2x_…"],
                "found_at": "https://git.example/acme/app/blob/main/config.py",
            }
        },
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


def take_report(keys: Collection[str], found_at: str = "") -> dict[str, Any]:
    """Store a well-formed report for `work_off`, and return what is answered.

    Does the same whatever the keys are.

    Raises:
        OfCatalogue: rate_limit_exceeded.
        TemporarilyUnavailable: MOST_WAITING digests wait.
    """
    take_turn(current().address, keys=len(keys))
    # A character that no key has stands for what is not ASCII. Spaces inside a key do not count.
    texts = {(find_key(key) or key).encode("ascii", "replace").decode() for key in keys}
    digests = b"".join(chain.from_iterable(map(verifying_digests, texts)))
    waiting = LeakReport.objects.aggregate(bytes=Sum(Length("digests")))["bytes"] or 0
    if waiting + len(digests) > MOST_WAITING * DIGEST_BYTES:
        count_leak_report("anyone", "queue_full")
        raise TemporarilyUnavailable("Too many reports wait to be worked off. Nothing was stored.")
    report = LeakReport.objects.create(
        digests=digests, found_at=found_at, is_small=len(keys) <= MOST_KEYS_OF_SMALL
    )
    count_leak_report("anyone", "received")
    return LeakReportReceived({"id": report.pk, "received": len(keys)}).data


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_page(request: HttpRequest) -> HttpResponse:
    """Show the form for finders, or what became of it. Never repeats what was typed."""
    if request.method != "POST":
        return render(request, "revoke.html")
    body: dict[str, Any] = {
        "keys": list(filter(None, BETWEEN_KEYS.split(request.POST.get("keys", ""))))
    }
    if found_at := request.POST.get("found_at", "").strip():
        body["found_at"] = found_at
    serializer = ExposedKeys(data=body)
    try:
        serializer.is_valid(raise_exception=True)
        report = take_report(**serializer.validated_data)
    except Refusal as refusal:
        page = render(request, "revoke.html", {"refusal": refusal}, status=refusal.status)
        for name, value in refusal.headers.items():
            page[name] = value
        return page
    return render(request, "revoke.html", {"report": report}, status=202)
