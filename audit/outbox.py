"""The outbox: what the contacts of organizations are to be told, written with what happened.

A row is written in the transaction of its cause, so that nothing is told that did not happen, and
nothing that happened is forgotten (transactional outbox). The room `notices` delivers the rows.
"""

import hashlib
from functools import partial

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from web.ids import base62, new_id


class OutboxRow(models.Model):
    """Something to tell an organization. It names ids, never a secret.

    `type` is an audit action, and `id` that event's; or a type of its own that is named in the same
    manner, such as `api_key.expiring`.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "ntc"))
    organization_id = models.CharField(max_length=40)
    type = models.CharField(max_length=50)
    target_type = models.CharField(max_length=50)
    target_id = models.CharField(max_length=40)
    livemode = models.BooleanField(null=True)
    data = models.JSONField(default=dict, help_text="What the type adds, such as days or percent.")
    created_at = models.DateTimeField(default=timezone.now)
    spread_at = models.DateTimeField(
        null=True, help_text="When it was given its deliveries, one for each destination."
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["created_at"], condition=Q(spread_at=None), name="outbox_not_yet_spread"
            ),
            models.Index(F("spread_at"), condition=~Q(spread_at=None), name="outbox_by_spread"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.target_id}"


def lasting_id(*parts: object) -> str:
    """Return an id for what no event stands for: the same parts have the same id.

    So a row that is written twice, or by two at once, is one row as long as it is kept.
    """
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"ntc_{base62(int.from_bytes(digest), length=16)}"


def is_open(has_destination: bool) -> bool:
    """Return True if rows are to be written for an organization: somebody would be told."""
    return has_destination and bool(settings.EMAIL_FROM)
