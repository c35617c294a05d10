"""A delivery: one notice to one contact, with its tries and the last answer."""

from functools import partial

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import Organization
from audit.models import OutboxRow
from notices.models.contact import Contact
from web.ids import new_id


class Delivery(models.Model):
    """Due until it has ended: delivered, or given up. Verification mails have no outbox row.

    `taken_until` is a lease: until then one deliverer has it in hand.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "dlv"))
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    contact = models.ForeignKey(Contact, on_delete=models.PROTECT, related_name="deliveries")
    row = models.ForeignKey(
        OutboxRow, on_delete=models.CASCADE, null=True, related_name="deliveries"
    )
    type = models.CharField(max_length=50)
    is_at_once = models.BooleanField(help_text="In a mail of its own; else in the weekly one.")
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField()
    taken_until = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    answer = models.CharField(max_length=200, blank=True, help_text="Of the last try.")
    delivered_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True, help_text="When it was given up.")

    class Meta:
        verbose_name_plural = "deliveries"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["row", "contact"], condition=~Q(row=None), name="delivery_once_per_contact"
            )
        ]
        indexes = [
            models.Index(
                fields=["is_at_once", "due_at"],
                condition=Q(delivered_at=None, failed_at=None),
                name="delivery_waiting",
            ),
            models.Index(
                F("organization"), F("created_at").desc(), name="delivery_of_organization"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} to {self.contact_id}"
