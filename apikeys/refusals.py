"""The refusals about keys: each has a code of the catalogue, and a text where that says more."""

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from accounts.models import Meter
from apikeys.scopes import ALL_SCOPES
from web.errors.refusals import Refusal
from web.input.moments import format_moment


class AuthenticationRefusal(Refusal):
    """No caller: a 401 with the challenge that RFC 6750 §3 asks for."""

    challenge: ClassVar[str] = 'Bearer realm="ReachScore", error="invalid_token"'

    def __init__(self, message: str = "", *, fix: str = "") -> None:
        super().__init__(message, fix=fix, headers={"WWW-Authenticate": self.challenge})


class ApiKeyMissing(AuthenticationRefusal):
    """No credentials at all: RFC 6750 §3.1 wants no error code then."""

    code = "api_key_missing"
    challenge = 'Bearer realm="ReachScore"'


class ApiKeyInvalid(AuthenticationRefusal):
    """Malformed, unknown or revoked: one answer, so that nothing can be learned from it."""

    code = "api_key_invalid"


class ApiKeyExpired(AuthenticationRefusal):
    """Past its end. Only someone who holds the real key gets to see this."""

    code = "api_key_expired"


class SecretEnded(ApiKeyExpired):
    """The key lives, but this secret of it was rotated out or replaced."""

    def __init__(self) -> None:
        super().__init__(
            "This secret of the API key was replaced and has ended.",
            fix="Use the key's newest secret, the one its last rotation answered with. If there is "
            "none that works, have an unrestricted key without limits rotate it.",
        )


class InsufficientScope(Refusal):
    """The caller is known, but its key does not reach this far.

    The body says what was required, granted and missing; the challenge is that of RFC 6750 §3.1.
    """

    code = "insufficient_scope"

    def __init__(
        self, message: str = "", *, required: Iterable[str], granted: Iterable[str], fix: str = ""
    ) -> None:
        required, granted = list(required), list(granted)
        details = {
            "required_scopes": required,
            "granted_scopes": granted,
            "missing_scopes": [scope for scope in required if scope not in granted],
        }
        challenge = f'Bearer error="{self.code}", scope="{" ".join(required)}"'
        headers = {"WWW-Authenticate": challenge}
        super().__init__(message, fix=fix, headers=headers, details=details)


class ManagingTakesAllScopes(InsufficientScope):
    """Managing keys takes a key that holds every scope: it can hand out no more than it has."""

    def __init__(self, *, granted: Iterable[str]) -> None:
        super().__init__(
            "Managing keys takes an unrestricted key, one that holds every scope.",
            required=ALL_SCOPES,
            granted=granted,
            fix="Use an unrestricted key of your organization. A restricted key can see, rotate "
            "and revoke itself only.",
        )


class IpNotAllowed(Refusal):
    code = "ip_not_allowed"

    def __init__(self, address: str | None) -> None:
        seen = f"from {address}" if address else "from an address that cannot be known"
        super().__init__(f"This request came {seen}, where this API key may not be used.")


class ExceedsCaller(Refusal):
    code = "exceeds_caller"


class KeyLimitReached(Refusal):
    code = "key_limit_reached"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The organization has {limit} active keys of this mode, its limit.")


class IdempotencyKeyReused(Refusal):
    code = "idempotency_key_reused"

    def __init__(self, since: datetime) -> None:
        message = f"This Idempotency-Key was sent with another request, at {format_moment(since)}."
        super().__init__(message, field="Idempotency-Key")


class IdempotencyInProgress(Refusal):
    code = "idempotency_in_progress"

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class RateLimitExceeded(Refusal):
    code = "rate_limit_exceeded"

    def __init__(self, *, limit: int, seconds: int) -> None:
        message = f"Your organization made more than {limit} requests this minute."
        fix = f"Send the request again in {seconds} s, as Retry-After says."
        super().__init__(message, fix=fix, headers={"Retry-After": str(seconds)})


class QuotaExceeded(Refusal):
    code = "quota_exceeded"

    def __init__(
        self,
        meter: Meter,
        *,
        limit: int,
        used: int,
        resets_at: datetime | None,
        of_key: bool = False,
    ) -> None:
        of, fix = "your plan", ""
        if of_key:
            of = "this key's own share"
            fix = "Use a key with a larger share, or have this one's max_tests_per_month raised."
        message = f"This would go beyond the {limit} {meter} of {of}; {used} are used."
        renews = format_moment(resets_at) if resets_at else None
        details = {"limit": limit, "used": used, "resets_at": renews}
        super().__init__(message, fix=fix, details=details)
