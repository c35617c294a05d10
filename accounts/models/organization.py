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
from web.input.text import clean_line, clean_reason

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

    def create(self, *, actor: Actor, reason: str = "") -> None:
        """Store this new organization, with its audit log's first event.

        Raises ParameterInvalid, ContainsApiKey for the name or the reason.
        """
        self.name = clean_name(self.name)
        reason = clean_reason(reason, required=False)
        with AuditLog.begin(self.id) as audit:
            self.save(force_insert=True)
            changes = {"name": (None, self.name), "plan": (None, self.plan_id)}
            audit.record("organization.created", self, actor=actor, reason=reason, changes=changes)

    def rename(self, *, actor: Actor, reason: str, name: str) -> bool:
        """Give it another name; return False if that is its name already.

        Raises ParameterInvalid, ContainsApiKey for the name or the reason, which must be given.
        """
        fields = {"name": clean_name(name)}
        return self._set("renamed", fields, actor=actor, reason=clean_reason(reason))

    def change_plan(self, *, actor: Actor, reason: str, **terms: Any) -> bool:
        """Set those of `plan` and of OVERRIDES that are given; return False if all were so already.

        An override of None is the plan's own limit. Holds from the next request on. Tests are
        counted apart for plans that renew and for those that do not.

        Raises ParameterInvalid, ContainsApiKey for the reason, which must be given.
        """
        return self._set("plan_changed", terms, actor=actor, reason=clean_reason(reason))

    def change_contact(self, *, actor: Actor, email: str, reason: str = "") -> bool:
        """Set the contact's address, or none; return False if it was so already.

        The event tells two addresses apart and does not hold them: it can never be erased.

        Raises ParameterInvalid, ContainsApiKey.
        """
        fields = {"contact_email": clean_email(email)}
        reason = clean_reason(reason, required=False)
        return self._set("contact_changed", fields, actor=actor, reason=reason)

    def _set(self, done: str, fields: dict[str, Any], *, actor: Actor, reason: str) -> bool:
        with AuditLog.of(self.id) as audit:
            self.refresh_from_db()
            changed = {
                name: value for name, value in fields.items() if value != getattr(self, name)
            }
            if not changed:
                return False
            before = self._shown()
            for name, value in changed.items():
                setattr(self, name, value)
            self.save(update_fields=changed)
            after = self._shown()
            changes = {name: (before[name], after[name]) for name in changed}
            audit.record(f"organization.{done}", self, actor=actor, reason=reason, changes=changes)
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
        reason = clean_reason(reason)
        with AuditLog.of(self.id) as audit:
            others = Organization.objects.filter(pk=self.pk, suspended_at__isnull=to is not None)
            changed = others.update(suspended_at=to) > 0
            if changed:
                audit.record(f"organization.{done}", self, actor=actor, reason=reason)
        self.refresh_from_db(fields=["suspended_at"])
        return changed

    def _shown(self) -> dict[str, Any]:
        """Return what an event may hold of the fields that can be changed, in JSON's types."""
        terms = {name: getattr(self, name) for name in OVERRIDES}
        email = _masked(self.contact_email)
        return {"name": self.name, "plan": self.plan_id, "contact_email": email, **terms}


def _masked(email: str) -> str | None:
    """Return an address's first character and its domain."""
    name, _, domain = email.rpartition("@")
    return f"{name[:1]}…@{domain}" if email else None
