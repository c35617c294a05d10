from django.db import models
from django.db.models import Q
from django.utils import timezone


class KeyStatus(models.TextChoices):
    """What a key is good for now; never stored, always derived from its timestamps."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"

    @property
    def condition(self) -> Q:
        """The same as a filter over keys."""
        now = timezone.now()
        unrevoked = Q(revoked_at=None)
        return {
            KeyStatus.ACTIVE: unrevoked & (Q(expires_at=None) | Q(expires_at__gt=now)),
            KeyStatus.EXPIRED: unrevoked & Q(expires_at__lte=now),
            KeyStatus.REVOKED: ~unrevoked,
        }[self]
