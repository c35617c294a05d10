"""The sibling's tables. Every row says which organization and mode it belongs to."""

from __future__ import annotations

from functools import partial

from django.db import models
from django.utils import timezone

from accounts.models import Organization
from web.ids import new_id


class Owned(models.Model):
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    livemode = models.BooleanField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class EmailTest(Owned):
    """One test of how a mail is delivered."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "test"))
    subject = models.CharField(max_length=200)
    score = models.PositiveSmallIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["organization", "livemode", "-created_at", "-id"], name="sibling_newest"
            )
        ]

    @property
    def status(self) -> str:
        return "running" if self.score is None else "completed"


class Domain(Owned):
    """A domain that the organization sends from."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "dom"))
    name = models.CharField(max_length=253)
    is_verified = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "livemode", "name"], name="sibling_domain_once"
            )
        ]
