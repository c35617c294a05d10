"""The lanes of `deliver`, each with a heartbeat."""

from datetime import timedelta
from typing import Final

from django.db import models
from django.utils import timezone

UNSEEN_AFTER: Final = timedelta(minutes=1)


class LaneName(models.TextChoices):
    """Every queue that `deliver` works off."""

    REPORTS = "reports"
    MAILS = "mails"


class Lane(models.Model):
    """A queue, and when a deliverer was last seen at it."""

    name = models.CharField(primary_key=True, max_length=10)
    seen_at = models.DateTimeField()
    delivered = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0, help_text="Given up.")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def beat(cls, name: str) -> None:
        """Note that a deliverer is at work here."""
        Lane.objects.bulk_create(
            [Lane(name=name, seen_at=timezone.now())],
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["seen_at"],
        )
