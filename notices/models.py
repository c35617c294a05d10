"""Whom notices go to, what was sent, and what waits for `deliver`."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.signing import BadSignature, Signer
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from apikeys.models import ApiKey
from audit.models import OutboxRow
from web.ids import new_id

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

    def link_to(self, page: str) -> str:
        """Return the address of `verify-contact` or `unsubscribe`, signed with SECRET_KEY."""
        token = Signer(salt=page).sign(str(self.pk))
        return f"{settings.PUBLIC_URL}{reverse(page, args=[token])}"

    @classmethod
    def linked(cls, page: str, token: str) -> Contact | None:
        """Return the contact of a link's token, None unless we signed it for this page."""
        try:
            contact_id = Signer(salt=page).unsign(token)
        except BadSignature:
            return None
        return cls.objects.select_related("organization").filter(pk=contact_id).first()


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


class KeyNote(models.Model):
    """A notice of `watch_keys`: one for each key, kind and due date, of which no second is made."""

    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=20)
    due_on = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["api_key", "kind", "due_on"], name="key_note_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.api_key_id} for {self.due_on}"


class LeakReport(models.Model):
    """Keys that somebody found exposed, as digests. It is deleted once it is worked off.

    `due_at` is also a lease: who takes a report moves it on.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "rpt"))
    digests = ArrayField(models.BinaryField(), help_text="Of each key, under every pepper.")
    found_at = models.CharField(max_length=1000, blank=True)
    is_small = models.BooleanField(help_text="Worked off before those of many keys.")
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        indexes = [models.Index(F("is_small").desc(), F("due_at"), name="leak_report_waiting")]

    def __str__(self) -> str:
        return self.id


class ReportWindow(models.Model):
    """How many reports may still come from a network, or of a size, until `ends_at`.

    The table is unlogged, and `forget` deletes the windows that have ended.
    """

    subject = models.CharField(primary_key=True, max_length=50)
    ends_at = models.DateTimeField()
    remaining = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.remaining} of {self.subject}"


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
        Lane.objects.update_or_create({"seen_at": timezone.now()}, name=name)
