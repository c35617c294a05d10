from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import models


class AuditCheck(models.Model):
    """When an organization's chain was last verified without a finding, and up to which event.

    For the eyes of staff: it proves nothing, whoever can write to the database can write it.
    """

    organization_id = models.CharField(primary_key=True, max_length=40)
    sequence = models.PositiveBigIntegerField()
    verified_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.organization_id} up to {self.sequence}"

    @classmethod
    def note(cls, verified: Iterable[tuple[str, int]], *, at: datetime) -> None:
        """Note that these organizations' chains, up to these events, were found whole."""
        AuditCheck.objects.bulk_create(
            [
                AuditCheck(organization_id=id_, sequence=sequence, verified_at=at)
                for id_, sequence in verified
            ],
            update_conflicts=True,
            unique_fields=["organization_id"],
            update_fields=["sequence", "verified_at"],
            batch_size=1000,
        )
