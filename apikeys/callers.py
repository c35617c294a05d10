"""From a plaintext to the caller: the one statement behind every authenticated request."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from django.db import InterfaceError, OperationalError, connection
from rest_framework.request import Request

from accounts.models import Actor
from accounts.models.audit import ActorType
from apikeys.exceptions import (
    ApiKeyExpired,
    ApiKeyInvalid,
    IpNotAllowed,
    OrganizationSuspended,
    SecretEnded,
)
from apikeys.keys import signing_pepper_id, verifying_digests
from apikeys.last_use import note_use
from apikeys.models import KeySecret
from apikeys.scopes import is_unrestricted
from reachscore.api.moments import format_moment
from reachscore.api.origin import current_origin
from reachscore.api.request_log import note_caller
from reachscore.api.response_headers import add_response_header

EXPIRY_HEADER: Final = "ReachScore-Key-Expires-At"
EXPIRY_NOTICE: Final = timedelta(days=30)

# The columns are named one by one: a prepared `SELECT *` dies after a migration. The digest is
# unique, and nobody can steer it without the pepper, so that an index may look it up. An address
# that is not known is NULL, and a list allows none such.
FIND_CALLER: Final = """
    SELECT s.id, s.locator, s.pepper_id, s.last_used_at,
           LEAST(k.expires_at, s.expires_at),
           k.revoked_at IS NOT NULL,
           COALESCE(k.expires_at <= %(now)s, FALSE),
           s.ended_at IS NOT NULL OR COALESCE(s.expires_at <= %(now)s, FALSE),
           o.suspended_at IS NOT NULL,
           k.allowed_ips IS NULL
               OR COALESCE(%(address)s::inet <<= ANY (k.allowed_ips::inet[]), FALSE),
           k.id, k.name, k.scopes, k.livemode,
           o.id, o.name,
           p.slug, p.tests_limit, p.tests_renew, p.domains_limit
      FROM apikeys_keysecret s
      JOIN apikeys_apikey k ON k.id = s.api_key_id
      JOIN accounts_organization o ON o.id = k.organization_id
      JOIN accounts_plan p ON p.slug = o.plan_id
     WHERE s.digest = ANY(%(digests)s)
"""


class Found(NamedTuple):
    """A row of FIND_CALLER."""

    secret_id: int
    locator: str
    pepper_id: int
    last_used_at: datetime | None
    expires_at: datetime | None
    is_revoked: bool
    key_is_expired: bool
    secret_is_over: bool
    is_suspended: bool
    is_address_allowed: bool
    key_id: str
    key_name: str
    scopes: list[str]
    livemode: bool
    organization_id: str
    organization_name: str
    plan: str
    tests_limit: int | None
    tests_renew: bool
    domains_limit: int | None


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
    """Return the caller whom a well-formed plaintext proves: one query, two where its last use is
    over a minute old.

    A secret that is stored under an older pepper is moved to the signing one on the way.

    Raises ApiKeyInvalid for an unknown and for a revoked key, alike; ApiKeyExpired, SecretEnded;
    OrganizationSuspended, IpNotAllowed.
    """
    origin = current_origin()
    found = _find_live(plaintext, now=now)
    if not note_use(found.secret_id, last_used_at=found.last_used_at, now=now, origin=origin):
        found = _find_live(plaintext, now=now)
    note_caller(key_id=found.key_id, organization_id=found.organization_id)
    if found.expires_at is not None and found.expires_at - now <= EXPIRY_NOTICE:
        add_response_header(EXPIRY_HEADER, format_moment(found.expires_at))
    if found.pepper_id != signing_pepper_id():
        KeySecret.renew_digest(plaintext, locator=found.locator, pepper_id=found.pepper_id)
    if found.is_suspended:
        raise OrganizationSuspended
    if not found.is_address_allowed:
        raise IpNotAllowed(origin.address)
    return Caller(
        key_id=found.key_id,
        key_name=found.key_name,
        scopes=tuple(found.scopes),
        livemode=found.livemode,
        organization_id=found.organization_id,
        organization_name=found.organization_name,
        plan=found.plan,
        tests_limit=found.tests_limit,
        tests_renew=found.tests_renew,
        domains_limit=found.domains_limit,
        locator=found.locator,
    )


def _find_live(plaintext: str, *, now: datetime) -> Found:
    """Raises ApiKeyInvalid, ApiKeyExpired, SecretEnded."""
    address = current_origin().address
    row = _fetch(
        {
            "digests": verifying_digests(plaintext),
            "now": now,
            "address": str(address) if address else None,
        }
    )
    if row is None:
        raise ApiKeyInvalid
    found = Found(*row)
    if found.is_revoked:
        raise ApiKeyInvalid
    if found.key_is_expired:
        raise ApiKeyExpired
    if found.secret_is_over:
        raise SecretEnded
    return found


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
