"""An organization: the customer, and the verbs that change it."""

from datetime import datetime
from functools import partial
from typing import Any, Final, Self

from django.db import models
from django.utils import timezone

from accounts.models.plan import Plan
from audit.actor import Actor
from audit.models import AuditLog
from web.errors.refusals import ResourceNotFound
from web.ids import new_id
from web.input.text import clean_line, clean_reason

# Columns that override the plan's limits for one organization.
OVERRIDES: Final = ("requests_per_minute", "tests_limit", "domains_limit")
clean_name: Final = partial(clean_line, field="name", max_length=100)


class OnLeak(models.TextChoices):
    """What is done with a key that is reported as leaked."""

    REVOKE = "revoke"
    NOTIFY = "notify"


class Organization(models.Model):
    """A customer. Has a plan, and owns API keys.

    Its verbs (create, rename, change_plan, …) write one event each. They raise ParameterInvalid or
    ContainsApiKey for an invalid text, such as a blank reason if a reason is required.
    """

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
    on_leak = models.CharField(
        "if a key leaks",
        max_length=10,
        choices=OnLeak,
        default=OnLeak.REVOKE,
        db_default=OnLeak.REVOKE,
        help_text="Revoke it at once, or only tell the contacts. Without one, it is revoked.",
    )
    # Name and contacts, case-folded for the search; triggers maintain it.
    search_text = models.TextField(default="", editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        default_permissions = ("add", "change", "view")
        permissions = [
            # Not change_plan: that is Django's permission to change rows of Plan.
            ("change_organization_plan", "Can change organization's plan and overrides"),
            ("suspend_organization", "Can suspend and resume organization"),
        ]

    def __str__(self) -> str:
        """Return name and id: two customers may have the same name."""
        return f"{self.name} ({self.id})"

    @classmethod
    def find(cls, organization_id: str) -> Self:
        """Return the organization with this id. Raise ResourceNotFound if there is none."""
        found = None
        if organization_id.isascii() and organization_id.isprintable():
            found = cls.objects.filter(pk=organization_id).first()
        if found is None:
            message = "There is no organization with this id; it looks like org_3iS8wW2xYbC4."
            raise ResourceNotFound(message)
        return found

    def create(self, *, actor: Actor, reason: str = "") -> None:
        """Save this new organization with the first event of its audit log."""
        self.name = clean_name(self.name)
        reason = clean_reason(reason, required=False)
        with AuditLog.begin(self.id) as audit:
            self.save(force_insert=True)
            changes = {"name": (None, self.name), "plan": (None, self.plan_id)}
            audit.record("organization.created", self, actor=actor, reason=reason, changes=changes)

    def rename(self, *, actor: Actor, reason: str, name: str) -> bool:
        """Rename the organization. Return False if nothing changed."""
        fields = {"name": clean_name(name)}
        return self._set("renamed", fields, actor=actor, reason=clean_reason(reason))

    def change_plan(self, *, actor: Actor, reason: str, **terms: Any) -> bool:
        """Set those of `plan` and OVERRIDES that are given. Return False if nothing changed.

        An override of None means the plan's own limit. Takes effect with the next request. After a
        downgrade, keys and domains beyond the limits stay; only new ones are refused. Plans whose
        tests renew and plans whose tests do not have separate counts.
        """
        return self._set("plan_changed", terms, actor=actor, reason=clean_reason(reason))

    def change_leak_policy(self, *, actor: Actor, on_leak: str, reason: str = "") -> bool:
        """Set what is done with a key that leaks. Return False if nothing changed."""
        fields, reason = {"on_leak": on_leak}, clean_reason(reason, required=False)
        return self._set("leak_policy_changed", fields, actor=actor, reason=reason)

    def _set(self, done: str, fields: dict[str, Any], *, actor: Actor, reason: str) -> bool:
        with AuditLog.of(self.id) as audit:
            self.refresh_from_db()
            changed = {n: value for n, value in fields.items() if value != getattr(self, n)}
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
        """Suspend the organization: its keys are refused. Return False if it was suspended."""
        return self._switch("suspended", timezone.now(), actor=actor, reason=reason)

    def resume(self, *, actor: Actor, reason: str) -> bool:
        """Resume the organization: its keys work again. Return False if it was not suspended."""
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
        """Return the changeable fields as an event may show them, in JSON's types."""
        terms = {name: getattr(self, name) for name in OVERRIDES}
        return {"name": self.name, "plan": self.plan_id, "on_leak": self.on_leak, **terms}
