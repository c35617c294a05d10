"""Who a request acts as, and how a plaintext proves it."""

from datetime import UTC, datetime
from typing import Any, Final, cast

from rest_framework.request import Request

from accounts.models import Actor
from accounts.models.audit import ActorType
from apikeys.authentication.last_use import note_use, renew_digest
from apikeys.authentication.statement import Found, fetch_caller
from apikeys.format import signing_pepper_id
from apikeys.refusals import (
    ApiKeyExpired,
    ApiKeyInvalid,
    IpNotAllowed,
    OrganizationSuspended,
    RateLimitExceeded,
    SecretEnded,
)
from apikeys.scopes import is_unrestricted
from reachscore.api.answering import add_response_header
from reachscore.api.moments import format_moment
from reachscore.api.origin import current_origin
from reachscore.api.request_log import note_caller

EXPIRY_HEADER: Final = "ReachScore-Key-Expires-At"
EXPIRY_NOTICE_SECONDS: Final = 30 * 24 * 60 * 60
RATE_HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
SECONDS_A_WINDOW: Final = 60


class Caller(Found):
    """Who a request acts as: an organization, by way of one key. Verified once, then only read."""

    __slots__ = ()

    @property
    def is_unrestricted(self) -> bool:
        """Whether it may manage keys."""
        return is_unrestricted(self.scopes)

    @property
    def actor(self) -> Actor:
        """The caller as the audit log names it."""
        return Actor(ActorType.KEY, id=self.key_id, label=self.key_name, locator=self.locator)

    @property
    def ownership(self) -> dict[str, Any]:
        """The columns that say whose a row is and of which mode, to find by and to make with."""
        return {"organization_id": self.organization_id, "livemode": self.livemode}

    @property
    def window_ends_at(self) -> int:
        """The Unix time at which the minute's window ends; 0 where there is none."""
        return int(self.window_started_at) + SECONDS_A_WINDOW if self.window_started_at else 0

    def require_rate(self, *, now: datetime) -> None:
        """Raises RateLimitExceeded for a request beyond the minute's limit."""
        limit = self.requests_per_minute
        if limit is not None and (self.requests_this_minute or 0) > limit:
            seconds = self.window_ends_at - int(now.timestamp())
            seconds = min(max(1, seconds), SECONDS_A_WINDOW)
            raise RateLimitExceeded(limit=limit, seconds=seconds)


def caller_of(request: Request) -> Caller:
    """Return the verified caller of a request; DRF's types know only Django's users."""
    return cast(Caller, request.user)


def find_caller(plaintext: str, *, now: datetime) -> Caller:
    """Return the caller whom a well-formed plaintext proves: one query, two where its last use is
    over a minute away.

    A secret that is stored under an older pepper is moved to the signing one on the way.

    Raises ApiKeyInvalid for an unknown and for a revoked key, alike; ApiKeyExpired, SecretEnded;
    OrganizationSuspended, IpNotAllowed.
    """
    origin = current_origin()
    found = _find_live(plaintext, now=now)
    if not note_use(found.secret_id, last_used_at=found.last_used_at, now=now, origin=origin):
        found = _find_live(plaintext, now=now)
    note_caller(key_id=found.key_id, organization_id=found.organization_id)
    if found.expires_at is not None and found.expires_at - now.timestamp() <= EXPIRY_NOTICE_SECONDS:
        expires_at = datetime.fromtimestamp(found.expires_at, UTC)
        add_response_header(EXPIRY_HEADER, format_moment(expires_at))
    if found.pepper_id != signing_pepper_id():
        renew_digest(plaintext, locator=found.locator, pepper_id=found.pepper_id)
    if found.is_suspended:
        raise OrganizationSuspended
    if not found.is_address_allowed:
        raise IpNotAllowed(origin.address)
    caller = Caller(*found)
    limit = caller.requests_per_minute
    if limit is not None:
        remaining = max(0, limit - (caller.requests_this_minute or 0))
        add_rate_headers(limit=limit, remaining=remaining, ends_at=caller.window_ends_at)
    return caller


def add_rate_headers(*, limit: int, remaining: int, ends_at: int) -> None:
    """Put the state of the window on the answer; `ends_at` is a Unix time."""
    for name, number in zip(RATE_HEADERS, (limit, remaining, ends_at), strict=True):
        add_response_header(name, str(number))


def _find_live(plaintext: str, *, now: datetime) -> Found:
    """Raises ApiKeyInvalid, ApiKeyExpired, SecretEnded."""
    found = fetch_caller(plaintext, now=now, address=current_origin().address)
    if found is None or found.is_revoked:
        raise ApiKeyInvalid
    if found.key_is_expired:
        raise ApiKeyExpired
    if found.secret_is_over:
        raise SecretEnded
    return found
