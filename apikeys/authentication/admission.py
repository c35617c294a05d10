"""Admit a caller: from a plaintext to a verified Caller, with all that goes with it."""

from datetime import UTC, datetime
from typing import Final

from apikeys.authentication.caller import Caller
from apikeys.authentication.last_use import note_use, renew_digest
from apikeys.authentication.statement import find_and_count
from apikeys.plaintext import signing_pepper_id
from apikeys.refusals import ApiKeyExpired, ApiKeyInvalid, IpNotAllowed, SecretEnded
from web.context import current
from web.errors.refusals import OfCatalogue
from web.input.moments import format_moment

EXPIRY_HEADER: Final = "ReachScore-Key-Expires-At"
EXPIRY_NOTICE_SECONDS: Final = 30 * 24 * 60 * 60
RATE_HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def admit_caller(plaintext: str, *, now: datetime) -> Caller:
    """Return the caller that a well-formed plaintext proves, and count its request.

    One query, two if the secret's last use is over a minute away. The order of the steps is a
    promise: a stranger learns nothing before the secret is proven, and a refused request is not
    counted.

    Raises:
        ApiKeyInvalid: for an unknown and for a revoked key, alike.
        ApiKeyExpired, SecretEnded, `organization_suspended`, IpNotAllowed.
    """
    context = current()
    # 1. Find the secret by its digest and count the request; 2. refuse a key that is over.
    caller = _fetch_live(plaintext, now=now, address=context.address)
    # 3. Note the secret's use. If a verb ended it before its first use, what was read is stale.
    if not note_use(caller.secret_id, last_used_at=caller.last_used_at, now=now):
        caller = _fetch_live(plaintext, now=now, address=context.address)
    # 4. Tell the logs who called: a refusal below names the key, too.
    context.key_id, context.organization_id = caller.key_id, caller.organization_id
    # 5. Announce the end of the key or the secret if it is near.
    if caller.expires_at and caller.expires_at - now.timestamp() <= EXPIRY_NOTICE_SECONDS:
        expires_at = datetime.fromtimestamp(caller.expires_at, UTC)
        context.headers[EXPIRY_HEADER] = format_moment(expires_at)
    # 6. Move a digest under an older pepper to the one that signs: only now is the plaintext here.
    if caller.pepper_id != signing_pepper_id():
        renew_digest(plaintext, locator=caller.locator, pepper_id=caller.pepper_id)
    # 7. and 8. Refuse a suspended organization and an address that is not allowed.
    if caller.is_suspended:
        raise OfCatalogue("organization_suspended")
    if not caller.is_address_allowed:
        raise IpNotAllowed(context.address)
    # 9. Say how much of the minute is left. Throttling refuses what is too often, after scopes.
    if caller.requests_per_minute is not None:
        remaining = max(0, caller.requests_per_minute - (caller.requests_this_minute or 0))
        add_rate_headers(
            limit=caller.requests_per_minute, remaining=remaining, ends_at=caller.window_ends_at
        )
    return caller


def add_rate_headers(*, limit: int, remaining: int, ends_at: int) -> None:
    """Put the state of the window on the answer; `ends_at` is a Unix time."""
    for name, number in zip(RATE_HEADERS, (limit, remaining, ends_at), strict=True):
        current().headers[name] = str(number)


def _fetch_live(plaintext: str, *, now: datetime, address: str | None) -> Caller:
    """Raise ApiKeyInvalid, ApiKeyExpired or SecretEnded if the key or its secret is over."""
    caller = find_and_count(plaintext, now=now, address=address)
    if caller is None or caller.is_revoked:
        raise ApiKeyInvalid
    if caller.key_is_expired:
        raise ApiKeyExpired
    if caller.secret_is_over:
        raise SecretEnded
    return caller
