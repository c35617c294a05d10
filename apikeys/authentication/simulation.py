"""Rehearsing failures: a test key names an error and gets it, and nothing is done."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.utils import timezone
from rest_framework.exceptions import MethodNotAllowed

from accounts.models import Meter
from accounts.models.usage import month_of
from apikeys import refusals
from apikeys.authentication.admission import EXPIRY_HEADER, RATE_HEADERS, add_rate_headers
from apikeys.authentication.caller import Caller
from apikeys.scopes import Scope
from web.context import current
from web.errors.catalogue import CATALOGUE
from web.errors.refusals import OfCatalogue, Refusal, TemporarilyUnavailable
from web.input.text import did_you_mean
from web.redaction import quote_input

HEADER: Final = "ReachScore-Simulate"
META_NAME: Final = "HTTP_REACHSCORE_SIMULATE"

logger = logging.getLogger("reachscore.api")

CODES: Final = [code for code, problem in CATALOGUE.items() if problem.is_rehearsable]


def refuse_as_asked(environ: Mapping[str, Any], caller: Caller) -> None:
    """Raise the refusal that the request's header names. Do nothing if it has no such header.

    Raises RateLimitExceeded if the limit is really exceeded, and another Refusal for a live key and
    for a code that cannot be simulated.
    """
    code = environ.get(META_NAME)
    if code is None:
        return
    caller.require_rate(now=timezone.now())
    if caller.livemode:
        raise OfCatalogue("simulate_in_live_mode", field=HEADER)
    if code not in CODES:
        message = f"There is no error {quote_input(code)} to simulate.{did_you_mean(code, CODES)}"
        if code in CATALOGUE:
            message = f"The error {code} cannot be simulated."
        fix = f"Send one of {', '.join(CODES)}."
        raise OfCatalogue("simulate_unknown_code", message, fix=fix, field=HEADER)
    current().is_simulated = True
    logger.info("Simulated %s", code)
    raise _rehearse(code, caller)


def _rehearse(code: str, caller: Caller) -> Refusal | MethodNotAllowed:
    """Return the refusal as a live caller would get it, its headers set accordingly."""
    headers = current().headers
    if CATALOGUE[code].before:
        for name in RATE_HEADERS:
            headers.pop(name, None)
    if CATALOGUE[code].before == "proof":
        headers.pop(EXPIRY_HEADER, None)
    if make := _SPECIFIC.get(code):
        return make(caller)
    field, message = _OF_FIELDS.get(code, ("", ""))
    return OfCatalogue(code, message, field=field)


def _rate_limit_exceeded(caller: Caller) -> Refusal:
    limit = caller.requests_per_minute or 60
    now = int(timezone.now().timestamp())
    ends_at = caller.window_ends_at or now - now % 60 + 60
    add_rate_headers(limit=limit, remaining=0, ends_at=ends_at)
    return refusals.RateLimitExceeded(limit=limit, seconds=max(1, ends_at - now))


def _quota_exceeded(caller: Caller) -> Refusal:
    limit = caller.tests_limit if caller.tests_limit is not None else 1000
    resets_at = month_of(timezone.now())[1] if caller.tests_renew else None
    return refusals.QuotaExceeded(Meter.TESTS, limit=limit, used=limit, resets_at=resets_at)


def _insufficient_scope(caller: Caller) -> Refusal:
    scope = Scope.TESTS_WRITE.value
    granted = [held for held in caller.scopes if held != scope]
    return refusals.InsufficientScope(
        f"This takes a key with the scope {scope}.", required=[scope], granted=granted
    )


# Examples of refusals that name a field.
_OF_FIELDS: Final = {
    "exceeds_caller": ("scopes", "scopes must not hold one that the calling key lacks."),
    "missing_required_field": ("name", "The field name is missing."),
    "parameter_unknown": ("scope", 'There is no field "scope". Did you mean scopes?'),
    "parameter_invalid": ("name", "name must be a string."),
    "contains_api_key": ("name", "name holds an API key."),
}
# Refusals with headers or numbers of their own.
_SPECIFIC: Final[dict[str, Callable[[Caller], Refusal | MethodNotAllowed]]] = {
    "api_key_invalid": lambda _: refusals.ApiKeyInvalid(),
    "api_key_expired": lambda _: refusals.ApiKeyExpired(),
    "insufficient_scope": _insufficient_scope,
    "ip_not_allowed": lambda _: refusals.IpNotAllowed(current().address),
    "key_limit_reached": lambda _: refusals.KeyLimitReached(100),
    "rate_limit_exceeded": _rate_limit_exceeded,
    "quota_exceeded": _quota_exceeded,
    # DRF's, so that the answer names the methods which this very address takes.
    "method_not_allowed": lambda _: MethodNotAllowed(""),
    "idempotency_key_reused": lambda _: refusals.IdempotencyKeyReused(timezone.now()),
    "idempotency_in_progress": lambda _: refusals.IdempotencyInProgress(),
    "temporarily_unavailable": lambda _: TemporarilyUnavailable(),
}
