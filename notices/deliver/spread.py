"""Spreading: each row of the outbox becomes one delivery for each contact that is to be told."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from audit.actor import ActorType
from audit.models import AuditEvent, OutboxRow
from notices.kinds import FIRST, UNSTOPPABLE, is_at_once
from notices.models import Contact, Delivery

BATCH: Final = 500
# What a report revokes or ends is told as `api_key.leaked`.
REPORTERS: Final = (ActorType.SCANNER, ActorType.STRANGER)
WEEKLY_AT: Final = timedelta(hours=8)  # On Monday, UTC.


def spread() -> bool:
    """Give at most BATCH rows their deliveries, urgent ones first. Return False if none waited.

    A row is for the contacts that were verified when it was written: one that is removed with what
    the row tells must have a later `removed_at`, or the row's time itself.
    """
    with transaction.atomic():
        unspread = OutboxRow.objects.filter(spread_at=None).order_by("created_at")
        free = unspread.select_for_update(skip_locked=True, no_key=True)
        rows = list(free.filter(type__in=FIRST)[:BATCH] or free[:BATCH])
        contacts = defaultdict(list)
        owners = {row.organization_id for row in rows}
        for contact in Contact.objects.filter(organization__in=owners, verified_at__isnull=False):
            contacts[contact.organization_id].append(contact)
        ends = [row.pk for row in rows if row.type in ("api_key.revoked", "api_key.secrets_ended")]
        events = AuditEvent.objects.filter(pk__in=ends)
        actors = dict(events.values_list("pk", "actor_type"))
        Delivery.objects.bulk_create(
            _delivery(row, contact, actor=actors.get(row.pk))
            for row in rows
            for contact in contacts[row.organization_id]
            if _is_told(contact, row) and actors.get(row.pk) not in REPORTERS
        )
        spread_rows = OutboxRow.objects.filter(pk__in=[row.pk for row in rows])
        spread_rows.update(spread_at=timezone.now())
    return bool(rows)


def _is_told(contact: Contact, row: OutboxRow) -> bool:
    since, until = contact.verified_at, contact.removed_at
    return (
        since is not None
        and since <= row.created_at
        and (until is None or until >= row.created_at)
        and (contact.unsubscribed_at is None or row.type in UNSTOPPABLE)
    )


def _delivery(row: OutboxRow, contact: Contact, *, actor: str | None) -> Delivery:
    now = timezone.now()
    at_once = is_at_once(row.type, actor=actor, days=row.data.get("days"))
    return Delivery(
        organization_id=row.organization_id,
        contact=contact,
        row=row,
        type=row.type,
        is_at_once=at_once,
        due_at=now if at_once else next_weekly(now),
    )


def next_weekly(now: datetime) -> datetime:
    """Return when the next weekly mail is due: after `now`, which is in UTC."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    this_week = midnight - timedelta(days=now.weekday()) + WEEKLY_AT
    return this_week if now < this_week else this_week + timedelta(weeks=1)
