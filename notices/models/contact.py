"""A contact: an address at which an organization is told what concerns its keys."""

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Organization

LINK_LASTS: Final = timedelta(days=7)


class Contact(models.Model):
    """An e-mail address of an organization. Only a verified one is told anything.

    A removed one stays until its last deliveries are gone: of a change of contacts the addresses
    from before are told, too.
    """

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="contacts"
    )
    email = models.EmailField()
    created_at = models.DateTimeField(default=timezone.now)
    verified_at = models.DateTimeField(null=True)
    unsubscribed_at = models.DateTimeField(
        null=True, help_text="Hears what cannot be stopped only."
    )
    removed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=Q(removed_at=None),
                name="contact_once_per_organization",
            )
        ]
        indexes = [models.Index(fields=["email"], name="contact_by_email")]

    def __str__(self) -> str:
        return self.email

    @property
    def has_expired(self) -> bool:
        """Return True if it was not verified in time: its link has ended."""
        return not self.verified_at and self.created_at <= timezone.now() - LINK_LASTS
