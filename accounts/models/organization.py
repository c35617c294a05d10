from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.utils import timezone

from accounts.models.plan import Plan
from audit.actor import Actor
from audit.models import AuditLog
from web.errors.refusals import ParameterInvalid, ResourceNotFound
from web.ids import new_id
from web.input.text import clean_line

# What may be agreed on with one customer, in place of what its plan says.
OVERRIDES: Final = ("requests_per_minute", "tests_limit", "domains_limit")


def clean_name(name: str) -> str:
    """Return the name trimmed.

    Raises ParameterInvalid, ContainsApiKey.
    """
    return clean_line(name, field="name", max_length=100)


def clean_email(email: str) -> str:
    """Return the address trimmed; it may be empty.

    Raises ParameterInvalid, ContainsApiKey.
    """
    line = clean_line(email, field="contact_email", max_length=254, required=False)
    try:
        if line:
            validate_email(line)
    except ValidationError:
        message = "contact_email must be an e-mail address, such as ops@example.com."
        raise ParameterInvalid(message, field="contact_email") from None
    return line


class Organization(models.Model):
    """A customer: what keys belong to, what a plan is bought for."""

    id = models.CharField(
        primary_key=True, max_length=40, default=partial(new_id, "org"), editable=False
    )
    name = models.CharField(max_length=100)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="organizations")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    suspended_at = models.DateTimeField(null=True, blank=True, editable=False)
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="In place of the plan's. Null: the plan's."
    )
    tests_limit = models.PositiveIntegerField(
        "tests", null=True, blank=True, help_text="In place of the plan's. Null: the plan's."
    )
    domains_limit = models.PositiveIntegerField(
        "domains", null=True, blank=True, help_text="In place of the plan's. Null: the plan's."
    )
    contact_email = models.EmailField(
        "contact e-mail", blank=True, help_text="Whom to tell of a leak or an expiry."
    )
    # Name and contact, folded: kept by a trigger.
    search_text = models.TextField(default="", editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        default_permissions = ("add", "change", "view")
        permissions = [
            # Not change_plan: so Django calls the right to change rows of Plan.
            ("change_organization_plan", "Can change organization's plan and overrides"),
            ("suspend_organization", "Can suspend and resume organization"),
        ]

    def __str__(self) -> str:
        """Two customers may have the same name."""
        return f"{self.name} ({self.id})"

    @classmethod
    def find(cls, organization_id: str) -> Organization:
        """Return the organization with this id. Raises ResourceNotFound."""
        found = None
        if organization_id.isascii() and organization_id.isprintable():
            found = cls.objects.filter(pk=organization_id).first()
        if found is None:
            raise ResourceNotFound(
                "There is no organization with this id; it looks like org_3iS8wW2xYbC4."
            )
        return found

    def create(self, *, actor: Actor) -> None:
        """Store this new organization, with its audit log's first event.

        Raises ParameterInvalid, ContainsApiKey for the name.
        """
        self.name = clean_name(self.name)
        with AuditLog.begin(self.id) as audit:
            self.save(force_insert=True)
            changes = {"name": (None, self.name), "plan": (None, self.plan_id)}
            audit.record("organization.created", self, actor=actor, changes=changes)

    def change_plan(self, *, actor: Actor, reason: str, **terms: Any) -> bool:
        """Set those of `plan` and of OVERRIDES that are given; False where all were so already.

        An override of None is the plan's own limit. Holds from the next request on, at which what
        is used already stays used.

        Raises ParameterInvalid, ContainsApiKey for the reason, which must be given.
        """
        reason = clean_line(reason, field="reason", max_length=200)
        with AuditLog.of(self.id) as audit:
            self.refresh_from_db()
            changed = {name: term for name, term in terms.items() if term != getattr(self, name)}
            if not changed:
                return False
            before = self._terms()
            for name, term in changed.items():
                setattr(self, name, term)
            self.save(update_fields=list(changed))
            after = self._terms()
            changes = {name: (before[name], after[name]) for name in changed}
            audit.record(
                "organization.plan_changed", self, actor=actor, reason=reason, changes=changes
            )
        return True

    def change_contact(self, *, actor: Actor, email: str) -> bool:
        """Set the contact's address, or none; False where it was so already.

        The event tells two addresses apart and does not hold them: it can never be erased.

        Raises ParameterInvalid, ContainsApiKey.
        """
        email = clean_email(email)
        with AuditLog.of(self.id) as audit:
            self.refresh_from_db(fields=["contact_email"])
            if email == self.contact_email:
                return False
            changes = {"contact_email": (_masked(self.contact_email), _masked(email))}
            self.contact_email = email
            self.save(update_fields=["contact_email"])
            audit.record("organization.contact_changed", self, actor=actor, changes=changes)
        return True

    def suspend(self, *, actor: Actor, reason: str) -> bool:
        """Refuse every key of this organization from the next request on; False if it was so.

        Raises ParameterInvalid, ContainsApiKey for the reason, which must be given.
        """
        return self._switch("suspended", timezone.now(), actor=actor, reason=reason)

    def resume(self, *, actor: Actor, reason: str) -> bool:
        """Let its keys work again; False where it was not suspended.

        Raises ParameterInvalid, ContainsApiKey for the reason, which must be given.
        """
        return self._switch("resumed", None, actor=actor, reason=reason)

    def _switch(self, done: str, to: datetime | None, *, actor: Actor, reason: str) -> bool:
        reason = clean_line(reason, field="reason", max_length=200)
        with AuditLog.of(self.id) as audit:
            others = Organization.objects.filter(pk=self.pk, suspended_at__isnull=to is not None)
            changed = others.update(suspended_at=to) > 0
            if changed:
                audit.record(f"organization.{done}", self, actor=actor, reason=reason)
        self.refresh_from_db(fields=["suspended_at"])
        return changed

    def _terms(self) -> dict[str, Any]:
        """Return what was bought, in JSON's types."""
        return {"plan": self.plan_id, **{name: getattr(self, name) for name in OVERRIDES}}


def _masked(email: str) -> str | None:
    """Return an address's first character and its domain."""
    name, _, domain = email.rpartition("@")
    return f"{name[:1]}…@{domain}" if email else None
