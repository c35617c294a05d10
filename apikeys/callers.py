"""From a plaintext to the caller: the one statement behind every authenticated request."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from django.db import InterfaceError, OperationalError, connection
from rest_framework.request import Request

from accounts.models import Actor
from accounts.models.audit import ActorType
from apikeys.exceptions import ApiKeyExpired, ApiKeyInvalid, OrganizationSuspended
from apikeys.keys import signing_pepper_id, verifying_digests
from apikeys.models import KeySecret
from apikeys.scopes import is_unrestricted

# The columns are named one by one: a prepared `SELECT *` dies after a migration. The digest is
# unique, and nobody can steer it without the pepper, so that an index may look it up.
FIND_CALLER: Final = """
    SELECT k.id, k.name, k.scopes, k.livemode,
           o.id, o.name,
           p.slug, p.tests_limit, p.tests_renew, p.domains_limit,
           s.locator, s.pepper_id,
           k.revoked_at IS NOT NULL,
           LEAST(k.expires_at, s.expires_at) <= %(now)s,
           o.suspended_at IS NOT NULL
      FROM apikeys_keysecret s
      JOIN apikeys_apikey k ON k.id = s.api_key_id
      JOIN accounts_organization o ON o.id = k.organization_id
      JOIN accounts_plan p ON p.slug = o.plan_id
     WHERE s.digest = ANY(%(digests)s)
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request acts as: an organization, by way of one key. Verified once, then only read."""

    key_id: str
    key_name: str
    scopes: tuple[str, ...]
    livemode: bool
    organization_id: str
    organization_name: str
    plan: str
    tests_limit: int | None
    tests_renew: bool
    domains_limit: int | None
    locator: str

    @property
    def is_unrestricted(self) -> bool:
        """Whether it may manage keys."""
        return is_unrestricted(self.scopes)

    @property
    def actor(self) -> Actor:
        """The caller as the audit log names it."""
        return Actor(ActorType.KEY, id=self.key_id, label=self.key_name, locator=self.locator)


def caller_of(request: Request) -> Caller:
    """Return the verified caller of a request; DRF's types know only Django's users."""
    return cast(Caller, request.user)


def find_caller(plaintext: str, *, now: datetime) -> Caller:
    """Return the caller whom a well-formed plaintext proves, in one query.

    A secret that is stored under an older pepper is moved to the signing one on the way.

    Raises ApiKeyInvalid for an unknown and for a revoked key, alike; ApiKeyExpired;
    OrganizationSuspended.
    """
    row = _fetch({"digests": verifying_digests(plaintext), "now": now})
    if row is None:
        raise ApiKeyInvalid
    *columns, pepper_id, is_revoked, is_expired, is_suspended = row
    if is_revoked:
        raise ApiKeyInvalid
    if is_expired:
        raise ApiKeyExpired
    if is_suspended:
        raise OrganizationSuspended
    key_id, key_name, scopes, *rest = columns
    caller = Caller(key_id, key_name, tuple(scopes), *rest)
    if pepper_id != signing_pepper_id():
        KeySecret.renew_digest(plaintext, locator=caller.locator, pepper_id=pepper_id)
    return caller


def _fetch(parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    """Run the statement, once more on a new connection where the old one turns out to be lost.

    Instead of asking before every request whether the connection still lives, as Django's health
    check would: that is a round trip more, and this statement changes nothing twice.
    """
    connection.health_check_done = True  # type: ignore[attr-defined]
    try:
        return _fetch_once(parameters)
    except (OperationalError, InterfaceError):
        never_connected = connection.connection is None
        if never_connected or connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return _fetch_once(parameters)


def _fetch_once(parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(FIND_CALLER, parameters)
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row
