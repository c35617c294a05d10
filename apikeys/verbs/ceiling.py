"""The ceiling: what the key behind a verb may do and give, read again under the lock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from apikeys import refusals
from apikeys.models import ApiKey, KeySecret
from apikeys.networks import is_within
from apikeys.scopes import is_unrestricted
from audit.actor import Actor, ActorType
from web.context import current
from web.errors.refusals import OfCatalogue, ResourceNotFound
from web.input.moments import format_moment

# Fields that a new key inherits from its maker if the request leaves them out. None is no limit.
INHERITABLE: Final = ("expires_at", "allowed_ips", "max_tests_per_month")
# Fields that say what a key may do, so that a key can give no more than its own.
GIVEN: Final = ("scopes", *INHERITABLE)

WITHOUT_LIMITS: Final = (
    "Use a key without limits: no end, no addresses and no monthly share of its own, and a secret "
    "that is not being rotated out."
)


@dataclass(frozen=True)
class ActingKey:
    """A key that calls a verb, and the secret it presented.

    It may have been revoked, narrowed, bound to other addresses or suspended since it
    authenticated, so `of` checks everything again. Staff and commands are no acting key: they have
    no ceiling.
    """

    api_key: ApiKey
    secret: KeySecret

    @classmethod
    def of(cls, actor: Actor) -> Self | None:
        """Return the key behind an actor, None for any other actor. Call it under the lock.

        Raises ApiKeyInvalid, ApiKeyExpired, SecretEnded, IpNotAllowed, `organization_suspended`.
        """
        if actor.type is not ActorType.KEY:
            return None
        secrets = KeySecret.objects.select_related("api_key__organization")
        secret = secrets.get(api_key_id=actor.id, locator=actor.locator)
        api_key = secret.api_key
        if api_key.revoked_at is not None:
            raise refusals.ApiKeyInvalid
        if not api_key.is_active:
            raise refusals.ApiKeyExpired
        if not secret.is_live:
            raise refusals.SecretEnded
        if api_key.organization.suspended_at is not None:
            raise OfCatalogue("organization_suspended")
        address = current().address
        # An unknown address is within no list.
        if not is_within([address] if address else None, api_key.allowed_ips):
            raise refusals.IpNotAllowed(address)
        return cls(api_key, secret)

    @property
    def expires_at(self) -> datetime | None:
        """When its own authority ends: with the key, or with a secret that is rotated out."""
        ends = [end for end in (self.api_key.expires_at, self.secret.expires_at) if end]
        return min(ends, default=None)

    @property
    def is_limited(self) -> bool:
        """Return True if it has limits of its own. A secret being rotated out has an end."""
        return any(self.own(name) is not None for name in INHERITABLE)

    def own(self, name: str) -> Any:
        """Return what this key has of a field of GIVEN."""
        return self.expires_at if name == "expires_at" else getattr(self.api_key, name)

    def require_managing(self) -> None:
        """Raise ManagingTakesAllScopes if the key is restricted."""
        if not is_unrestricted(self.api_key.scopes):
            raise refusals.ManagingTakesAllScopes(granted=self.api_key.scopes)

    def require_reach(self, target: ApiKey) -> None:
        """Check that the key may see `target`.

        Raises:
            ManagingTakesAllScopes: if the key is restricted and `target` is another key.
            ResourceNotFound: if `target` is of another organization or mode.
        """
        if target.pk != self.api_key.pk:
            self.require_managing()
        mine = (self.api_key.organization_id, self.api_key.livemode)
        if (target.organization_id, target.livemode) != mine:
            raise ResourceNotFound

    def require_control(self, target: ApiKey) -> None:
        """Check that the key may change or rotate `target`.

        Raises as `require_reach`, and ExceedsCaller if `target` is another key and this one has
        limits: by changing or rotating others it could pass its own limits.
        """
        self.require_reach(target)
        if target.pk != self.api_key.pk and self.is_limited:
            raise refusals.ExceedsCaller(
                "A key with limits of its own makes and revokes keys; it neither changes nor "
                "rotates others.",
                fix=WITHOUT_LIMITS,
            )

    def require_rotating(self, target: ApiKey) -> None:
        """Check that the key may rotate `target` with the secret that it presented.

        Raises as `require_control`, and ExceedsCaller if that secret is being rotated out: with a
        new one it would outlive its own end.
        """
        self.require_control(target)
        if self.secret.expires_at is not None:
            raise refusals.ExceedsCaller(
                "A secret that is being rotated out does not rotate.",
                fix="Use the key's newest secret. If it is lost, an unrestricted key without "
                "limits of its own can rotate this key, and so can our staff.",
            )

    def require_within_ceiling(self, fields: Mapping[str, Any]) -> None:
        """Raise ExceedsCaller, with the field, if a field of GIVEN is more than this key's own.

        None is without limit. Numbers and moments are compared by size.
        """
        for name in (name for name in GIVEN if name in fields):
            given, own, rule = fields[name], self.own(name), ""
            if name == "scopes":
                if not set(given) <= set(own):
                    rule = "must not hold one that the calling key lacks"
            elif name == "allowed_ips":
                if not is_within(given, own):
                    rule = f"must lie within the calling key's own, {', '.join(own or [])}"
            elif own is not None and (given is None or given > own):
                rule = f"must not be more than the calling key's own, {own}"
                if isinstance(own, datetime):
                    rule = f"must not be later than the calling key's own end, {format_moment(own)}"
            if rule:
                raise refusals.ExceedsCaller(f"{name} {rule}.", field=name)

    def require_could_make(self, target: ApiKey) -> None:
        """Raise ExceedsCaller unless this key could make one like `target`."""
        try:
            self.require_within_ceiling({name: getattr(target, name) for name in GIVEN})
        except refusals.ExceedsCaller as refusal:
            message = f"The key {target.pk} reaches further than the calling one: {refusal.message}"
            raise refusals.ExceedsCaller(message) from None
