"""The refusals that only keys know."""

from typing import ClassVar

from reachscore.api.refusals import Refusal


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


class InsufficientScope(Refusal):
    """The caller is known, but its key does not reach this far."""

    code = "insufficient_scope"


class ManagingTakesAllScopes(InsufficientScope):
    """Managing keys takes a key that holds every scope: it can hand out no more than it has."""

    def __init__(self) -> None:
        super().__init__(
            "Managing keys takes an unrestricted key, one that holds all eight scopes.",
            fix="Use an unrestricted key of your organization.",
        )


class OrganizationSuspended(Refusal):
    """The caller is known, but its organization may not call."""

    code = "organization_suspended"
