"""The audit log: who did what to what, written in the transaction that does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from accounts.models.user import User
from reachscore.api.ids import new_id
from reachscore.api.request_id import current_request_id


class ActorType(models.TextChoices):
    """The kinds of actor an event can name."""

    KEY = "key"
    STAFF = "staff"
    CLI = "cli"
    SYSTEM = "system"


def actor_types() -> list[tuple[str, str]]:
    """Return the kinds; the migration stores this name, so that a new one needs no migration."""
    return ActorType.choices


@dataclass(frozen=True)
class Actor:
    """Whom an event names: the kind, the id in our tables, and what people call it.

    `locator` says which secret a key presented, so that a verb can check that it still lives.
    """

    type: ActorType
    id: str
    label: str
    locator: str = ""

    @classmethod
    def staff(cls, user: User) -> Actor:
        """A member of staff."""
        return cls(ActorType.STAFF, id=str(user.pk), label=user.get_username())

    @classmethod
    def cli(cls) -> Actor:
        """Whoever may run commands on the server."""
        return cls(ActorType.CLI, id="", label="command line")

    @classmethod
    def system(cls) -> Actor:
        """The service itself."""
        return cls(ActorType.SYSTEM, id="", label="system")

    def __str__(self) -> str:
        """`key:key_3iS8wW2xYbC4`, `staff:sam`, `cli` or `system`."""
        names = {ActorType.KEY: f"key:{self.id}", ActorType.STAFF: f"staff:{self.label}"}
        return names.get(self.type, self.type.value)


class AuditHead(models.Model):
    """One row an organization: the number of its last event, and the lock of every write verb."""

    organization_id = models.CharField(primary_key=True, max_length=40)
    sequence = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.organization_id} at {self.sequence}"


class AuditEvent(models.Model):
    """One thing that was done. Ids are copied as text: an event outlives what it is about."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "evt"))
    organization_id = models.CharField("organization", max_length=40)
    sequence = models.PositiveBigIntegerField()
    action = models.CharField(max_length=50)
    actor_type = models.CharField(max_length=20, choices=actor_types)
    actor_id = models.CharField(max_length=40, blank=True)
    actor_label = models.CharField(max_length=150)
    target_type = models.CharField(max_length=50)
    target_id = models.CharField(max_length=40)
    livemode = models.BooleanField(null=True)
    reason = models.CharField(max_length=200, blank=True)
    changes = models.JSONField(default=dict, help_text="field: [before, after]")
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-sequence"]
        indexes = [
            models.Index(fields=["-created_at", "-sequence"], name="audit_event_newest"),
            models.Index(fields=["target_id", "-created_at"], name="audit_event_by_target"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "sequence"], name="audit_event_numbered_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target_id}"

    @property
    def actor(self) -> Actor:
        """Who did it, as it was called then."""
        return Actor(ActorType(self.actor_type), self.actor_id, self.actor_label)


class AuditLog:
    """An organization's audit log, held under its lock for the length of one transaction.

    Every write verb works inside `with AuditLog.of(…)`: what it read before may be stale, what it
    reads inside is not, because no other verb of the organization runs meanwhile. The hot path
    never takes this lock.
    """

    def __init__(self, head: AuditHead) -> None:
        self._head = head

    @classmethod
    @contextmanager
    def of(cls, organization_id: str) -> Iterator[AuditLog]:
        """Lock the log of an existing organization and open the transaction.

        Raises AuditHead.DoesNotExist for an organization that was not made by its verb.
        """
        with transaction.atomic():
            # no_key: foreign-key checks of other transactions need not wait for this one.
            yield cls(AuditHead.objects.select_for_update(no_key=True).get(pk=organization_id))

    @classmethod
    @contextmanager
    def begin(cls, organization_id: str) -> Iterator[AuditLog]:
        """Begin the log of an organization that is being made, in its transaction."""
        with transaction.atomic():
            yield cls(AuditHead.objects.create(organization_id=organization_id))

    def record(
        self,
        action: str,
        target: models.Model,
        *,
        actor: Actor,
        livemode: bool | None = None,
        reason: str = "",
        changes: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        """Write the next event; `action` is `noun.past_participle`, its noun the target's type.

        `changes` maps a field to its value before and after, in JSON's types; never a secret.
        """
        self._head.sequence += 1
        self._head.save(update_fields=["sequence"])
        AuditEvent.objects.create(
            organization_id=self._head.organization_id,
            sequence=self._head.sequence,
            action=action,
            actor_type=actor.type,
            actor_id=actor.id,
            actor_label=actor.label,
            target_type=action.partition(".")[0],
            target_id=target.pk,
            livemode=livemode,
            reason=reason,
            changes=changes or {},
            request_id=current_request_id(),
        )
