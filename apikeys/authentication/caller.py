"""Who a request acts as: an organization, by way of one key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from rest_framework.request import Request

from apikeys.refusals import RateLimitExceeded
from apikeys.scopes import is_unrestricted
from audit.actor import Actor, ActorType

SECONDS_A_WINDOW: Final = 60


class Caller(NamedTuple):
    """The caller: a row of FIND_CALLER, verified once and then only read. Times are Unix times."""

    secret_id: int
    locator: str
    pepper_id: int
    last_used_at: float | None
    expires_at: float | None
    is_revoked: bool
    key_is_expired: bool
    secret_is_over: bool
    is_suspended: bool
    is_address_allowed: bool
    key_id: str
    key_name: str
    scopes: Sequence[str]
    livemode: bool
    max_tests_per_month: int | None
    organization_id: str
    organization_name: str
    plan: str
    requests_per_minute: int | None
    tests_limit: int | None
    tests_renew: bool
    domains_limit: int | None
    tests_used: int
    domains_used: int
    window_started_at: float | None
    requests_this_minute: int | None

    @property
    def is_unrestricted(self) -> bool:
        """Return True if the key may manage keys."""
        return is_unrestricted(self.scopes)

    @property
    def actor(self) -> Actor:
        return Actor(ActorType.KEY, id=self.key_id, label=self.key_name, locator=self.locator)

    @property
    def ownership(self) -> dict[str, Any]:
        """Field values that scope a row to this caller. Pass them to `filter()` and `create()`."""
        return {"organization_id": self.organization_id, "livemode": self.livemode}

    @property
    def window_ends_at(self) -> int:
        """The Unix time at which the minute's window ends; 0 if there is none."""
        return int(self.window_started_at) + SECONDS_A_WINDOW if self.window_started_at else 0

    def auth_context(self) -> dict[str, Any]:
        """Build the answer of `GET /v1/auth/me`. The sandbox has no limits, so it shows none."""
        return {
            "key_id": self.key_id,
            "key_name": self.key_name,
            "scopes": self.scopes,
            "organization": {
                "id": self.organization_id,
                "name": self.organization_name,
                "plan": self.plan,
            },
            "usage": {
                "tests_this_month": self.tests_used,
                "tests_limit": self.tests_limit if self.livemode else None,
                "domains": self.domains_used,
                "domains_limit": self.domains_limit if self.livemode else None,
            },
            "livemode": self.livemode,
        }

    def require_rate(self, *, now: datetime) -> None:
        """Raise RateLimitExceeded (429) if this request, counted already, is over the limit."""
        limit = self.requests_per_minute
        if limit is not None and (self.requests_this_minute or 0) > limit:
            seconds = self.window_ends_at - int(now.timestamp())
            seconds = min(max(1, seconds), SECONDS_A_WINDOW)
            raise RateLimitExceeded(limit=limit, seconds=seconds)


def caller_of(request: Request) -> Caller:
    """Return the verified caller of a request; DRF's types know only Django's users."""
    return cast(Caller, request.user)
