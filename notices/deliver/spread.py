"""Spreading: each row of the outbox becomes one delivery for each contact that is to be told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
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
    """Give at most BATCH rows their deliveries, urgent ones first. Return False if none waited."""
    with transaction.atomic():
        unspread = OutboxRow.objects.filter(spread_at=None).order_by("created_at")
        free = unspread.select_for_update(skip_locked=True, no_key=True)
        rows = list(free.filter(type__in=FIRST)[:BATCH] or free[:BATCH])
        ends = [row.pk for row in rows if row.type in ("api_key.revoked", "api_key.secrets_ended")]
        actors = dict(AuditEvent.objects.filter(pk__in=ends).values_list("pk", "actor_type"))
        Delivery.objects.bulk_create(
            delivery for row in rows for delivery in _deliveries(row, actors.get(row.pk))
        )
        spread_rows = OutboxRow.objects.filter(pk__in=[row.pk for row in rows])
        spread_rows.update(spread_at=timezone.now())
    return bool(rows)


def _deliveries(row: OutboxRow, actor: str | None) -> Iterator[Delivery]:
    """Yield the deliveries to the contacts that were verified when the row was written.

    One that is removed with what the row tells must have a later `removed_at`, or the row's time
    itself.
    """
    if actor in REPORTERS:
        return
    told = Contact.objects.filter(
        Q(removed_at=None) | Q(removed_at__gte=row.created_at),
        organization=row.organization_id,
        verified_at__lte=row.created_at,
    )
    if row.type not in UNSTOPPABLE:
        told = told.filter(unsubscribed_at=None)
    now, at_once = timezone.now(), is_at_once(row, actor)
    for contact in told:
        yield Delivery(
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
