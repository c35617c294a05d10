"""What state a key is in, as staff want to see it: finer than `KeyStatus`, still derived."""

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apikeys.models import ApiKey, KeySecret, KeyStatus

EXPIRING_WITHIN: Final = timedelta(days=30)


class State(models.TextChoices):
    """The word on a key's badge."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    ROTATING = "rotating"
    EXPIRED = "expired"
    REVOKED = "revoked"

    @property
    def condition(self) -> Q:
        """The same as a filter over keys; the first three overlap: a key may expire and rotate."""
        now = timezone.now()
        active = KeyStatus.ACTIVE.condition
        retiring = KeySecret.objects.filter(
            api_key=OuterRef("pk"), ended_at=None, expires_at__gt=now
        )
        return {
            State.ACTIVE: active,
            State.EXPIRING: active & Q(expires_at__lte=now + EXPIRING_WITHIN),
            State.ROTATING: active & Q(Exists(retiring)),
            State.EXPIRED: KeyStatus.EXPIRED.condition,
            State.REVOKED: KeyStatus.REVOKED.condition,
        }[self]


def states_of(api_key: ApiKey, unended_secrets: list[KeySecret]) -> list[State]:
    """Return the badges of a key, given those of its secrets that no verb has ended."""
    if not api_key.is_active:
        return [State(api_key.status.value)]
    found = []
    if api_key.expires_at and api_key.expires_at <= timezone.now() + EXPIRING_WITHIN:
        found.append(State.EXPIRING)
    if any(secret.expires_at and secret.is_live for secret in unended_secrets):
        found.append(State.ROTATING)
    return found or [State.ACTIVE]
