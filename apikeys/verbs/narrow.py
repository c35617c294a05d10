"""Narrow keys: take away the scopes that they do not use."""

from dataclasses import dataclass
from typing import Self

from apikeys.models import ApiKey
from apikeys.scopes import is_unrestricted
from apikeys.verbs.change import change
from apikeys.verbs.rules import read_active
from audit.actor import Actor
from audit.models import AuditLog


@dataclass(frozen=True)
class Narrowing:
    """What a key would lose and keep: it loses what it has held for long and never exercised."""

    api_key: ApiKey
    loses: list[str]
    keeps: list[str]

    @classmethod
    def of(cls, api_key: ApiKey) -> Self:
        """Return what the key would lose and keep, by its grants; they may be prefetched."""
        unused = {grant.scope for grant in api_key.grants.all() if grant.is_long_unused}
        return cls(
            api_key,
            loses=[scope for scope in api_key.scopes if scope in unused],
            keeps=[scope for scope in api_key.scopes if scope not in unused],
        )

    @property
    def is_possible(self) -> bool:
        """A key that used nothing keeps everything: it is to be revoked, not emptied."""
        return bool(self.loses and self.keeps)

    @property
    def ends_managing(self) -> bool:
        """Return True if the key can manage others now, and could not any more."""
        return is_unrestricted(self.api_key.scopes)


def narrow_to_used(api_key: ApiKey, *, actor: Actor, reason: str) -> bool:
    """Leave a key only the scopes that it uses. Return False if it loses none.

    Raises as `change`.
    """
    with AuditLog.of(api_key.organization_id):
        read_active(api_key)
        narrowing = Narrowing.of(api_key)
        return narrowing.is_possible and change(
            api_key, actor=actor, reason=reason, scopes=narrowing.keeps
        )
