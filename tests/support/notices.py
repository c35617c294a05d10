"""Contacts of the cast."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Organization
from audit.models import AuditHead
from notices.models import Contact


def add_contact(
    organization: Organization, email: str = "ops@acme.example", **columns: Any
) -> Contact:
    """Add a contact, verified since yesterday unless `columns` say otherwise."""
    AuditHead.objects.filter(pk=organization.pk).update(has_destination=True)
    columns = {"verified_at": timezone.now() - timedelta(days=1), **columns}
    return Contact.objects.create(organization=organization, email=email, **columns)
