"""The audit log: tables, and AuditLog, by which a verb records events in its own transaction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Length
from django.db.models.lookups import Exact
from django.utils import timezone

from audit.actor import Actor, ActorType, actor_types
from audit.outbox import OutboxRow, is_open
from audit.seals import GENESIS, as_stored, seal
from web.context import LONGEST_USER_AGENT, RequestContext, current
from web.database import fetch_all
from web.ids import new_id

__all__ = ["SERVICE", "Actor", "ActorType", "AuditEvent", "AuditHead", "AuditLog", "OutboxRow"]

# Used in place of an organization's id, for events that concern none, such as log-ins and rights of
# staff. A migration creates its head.
SERVICE: Final = "service"

# The events that keys of each mode may read. PostgreSQL uses the partial indexes for these alone.
OF_MODE: Final = {True: Q(livemode=True) | Q(livemode=None), False: Q(livemode=False)}
NEWEST: Final = ("-created_at", "-sequence")
# The order of lists for customers. The same as NEWEST, because neither is ever null, but PostgreSQL
# has it from their indexes alone: an index over all organizations looks cheaper, and would be read
# to its end for a filter that matches nothing.
LISTED: Final = [F(column).desc(nulls_last=True) for column in ("created_at", "sequence")]

# A loose index scan: one step for each action. DISTINCT would read every row.
FIND_ACTIONS: Final = """
    WITH RECURSIVE known (action) AS (
        (SELECT action FROM audit_auditevent ORDER BY action LIMIT 1)
        UNION ALL
        SELECT (SELECT e.action FROM audit_auditevent e
                 WHERE e.action > known.action ORDER BY e.action LIMIT 1)
          FROM known WHERE known.action IS NOT NULL
    )
    SELECT action FROM known WHERE action IS NOT NULL
"""


def _listed(name: str, *columns: str, of: Q | None = None) -> models.Index:
    return models.Index(*columns, *LISTED, condition=of, name=f"audit_event_{name}")


class AuditHead(models.Model):
    """The number and seal of a log's last event. Its row is the lock of every write verb.

    There is one row for each organization, and one for SERVICE.
    """

    organization_id = models.CharField(primary_key=True, max_length=40)
    sequence = models.PositiveBigIntegerField(default=0)
    seal = models.BinaryField(default=GENESIS)
    # Kept by `notices`, under this lock: so a verb need not ask for contacts.
    has_destination = models.BooleanField(
        default=False, db_default=False, help_text="Whether somebody is to be told of events."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Exact(Length("seal"), 32), name="audit_head_seal_is_sha_256"
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} at {self.sequence}"


class AuditEvent(models.Model):
    """One event of the audit log, in an append-only table.

    Ids are copied as text, because an event outlives its actor and target. Every column is sealed:
    renaming one would break every seal, and a new one must be null in old events.
    """

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
    ip = models.GenericIPAddressField("address", null=True)
    user_agent = models.CharField(max_length=LONGEST_USER_AGENT, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    seal_key_id = models.PositiveSmallIntegerField(help_text="The number of one of AUDIT_KEYS.")
    seal = models.BinaryField()

    class Meta:
        ordering = list(NEWEST)
        default_permissions = ("view",)
        permissions = [("export_auditevent", "Can export audit event")]
        indexes = [
            models.Index(fields=NEWEST, name="audit_event_newest"),
            models.Index(fields=["action", *NEWEST], name="audit_event_by_action"),
            _listed("live", "organization_id", of=OF_MODE[True]),
            _listed("live_action", "organization_id", "action", of=OF_MODE[True]),
            _listed("test", "organization_id", of=OF_MODE[False]),
            _listed("test_action", "organization_id", "action", of=OF_MODE[False]),
            _listed("actor", "organization_id", "actor_id"),
            _listed("actor_action", "organization_id", "actor_id", "action"),
            _listed("not_key", "organization_id", of=~Q(actor_type=ActorType.KEY.value)),
            _listed("target", "target_id"),  # Ids are unique over all organizations.
            # For the search: PostgreSQL uses an index for an OR only if every side has one.
            models.Index(fields=["request_id"], name="audit_event_by_request"),
            models.Index(fields=["ip", *NEWEST], name="audit_event_by_address"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "sequence"], name="audit_event_numbered_once"
            ),
            models.CheckConstraint(
                condition=Exact(Length("seal"), 32), name="audit_event_seal_is_sha_256"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target_id}"

    @classmethod
    def actions(cls) -> list[str]:
        """Return every action in the table."""
        return [action for (action,) in fetch_all(FIND_ACTIONS)]

    @property
    def actor(self) -> Actor:
        """The actor, with its label at the time of the event."""
        return Actor(ActorType(self.actor_type), self.actor_id, self.actor_label)

    def seal_after(self, previous: bytes) -> None:
        """Seal this event, which must be complete and unsaved, with the first of AUDIT_KEYS."""
        self.seal_key_id, key = next(iter(settings.AUDIT_KEYS.items()))
        columns = {name: getattr(self, name) for name in self.sealed_columns()}
        self.seal = seal(columns, after=previous, key=key)

    @classmethod
    def sealed_columns(cls) -> list[str]:
        """Return the names of all columns except the seal."""
        return [field.attname for field in cls._meta.concrete_fields if field.attname != "seal"]


class AuditLog:
    """An organization's audit log, locked for one transaction (pessimistic lock).

    Every write verb runs inside `with AuditLog.of(…)`, so verbs of one organization run one after
    another: rows that a verb reads inside are current, rows that it read before may be stale.
    Authentication never takes this lock.
    """

    def __init__(self, head: AuditHead) -> None:
        self._head = head

    @classmethod
    @contextmanager
    def of(cls, organization_id: str) -> Iterator[Self]:
        """Open a transaction and lock the log of an existing organization.

        Raises AuditHead.DoesNotExist for an organization that its verb did not create.
        """
        with transaction.atomic():
            # no_key: foreign-key checks of other transactions do not wait for this lock.
            yield cls(AuditHead.objects.select_for_update(no_key=True).get(pk=organization_id))

    @classmethod
    @contextmanager
    def begin(cls, organization_id: str) -> Iterator[Self]:
        """Open a transaction and create the log of a new organization."""
        with transaction.atomic():
            yield cls(AuditHead.objects.create(organization_id=organization_id))

    @property
    def is_heard(self) -> bool:
        """Return True if somebody is told of what is recorded: a verified contact, by mail."""
        return is_open(self._head.has_destination)

    def record(
        self,
        action: str,
        target: models.Model,
        *,
        actor: Actor,
        reason: str = "",
        changes: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        """Append an event. `action` is `noun.past_participle`, its noun the target's type.

        `changes` maps fields to (before, after), in JSON's types without floats; never a secret.
        `livemode` is the target's, if it has one. Address and user agent are the current request's,
        unless the actor is the command line or the system.
        """
        by_request = actor.type not in (ActorType.CLI, ActorType.SYSTEM)
        context = current()
        seen = context if by_request else RequestContext()
        of = {  # Of the event, and of what is told of it.
            "organization_id": self._head.organization_id,
            "target_type": action.partition(".")[0],
            "target_id": str(target.pk),
            "livemode": getattr(target, "livemode", None),
        }
        event = AuditEvent(
            **of,
            sequence=self._head.sequence + 1,
            action=action,
            actor_type=actor.type,
            actor_id=actor.id,
            actor_label=actor.label,
            reason=reason,
            changes=as_stored(changes or {}),
            ip=seen.address,
            user_agent=seen.user_agent,
            request_id=context.request_id,
        )
        event.seal_after(bytes(self._head.seal))
        self._head.sequence, self._head.seal = event.sequence, event.seal
        self._head.save(update_fields=["sequence", "seal"])
        event.save(force_insert=True)
        if self.is_heard:
            OutboxRow.objects.create(id=event.id, type=action, **of)
