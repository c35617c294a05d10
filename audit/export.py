"""Exports of the audit log, which are events themselves."""

from collections.abc import Iterator, Mapping

from django.db.models import Q, QuerySet

from audit.actor import Actor
from audit.models import AuditEvent, AuditHead, AuditLog

AT_A_TIME = 1000


def note_export(
    organization_id: str, *, actor: Actor, form: str, filters: Mapping[str, str]
) -> None:
    """Record an export in the log of the organization that the events were filtered by.

    `organization_id` is SERVICE if the events belong to several organizations.
    """
    with AuditLog.of(organization_id) as audit:
        audit.record(
            "audit_log.exported",
            AuditHead(organization_id=organization_id),
            actor=actor,
            changes={"format": (None, form), "filters": (None, dict(filters))},
        )


def in_pieces(events: QuerySet[AuditEvent]) -> Iterator[AuditEvent]:
    """Yield events, newest first, by keyset pagination: a slow reader holds no transaction open."""
    ordered = events.order_by("-created_at", "-id")
    piece = list(ordered[:AT_A_TIME])
    while piece:
        yield from piece
        last = piece[-1]
        older = Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, id__lt=last.pk)
        piece = list(ordered.filter(older, created_at__lte=last.created_at)[:AT_A_TIME])
