"""Deliveries by mail, at least once.

Each row of the outbox becomes one delivery for each contact that is to be told (spreading). A
delivery is taken under a lease, sent, and its end recorded.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F, Q
from django.utils import timezone

from audit.actor import ActorType
from audit.models import AuditEvent, OutboxRow
from notices.contacts import contacts_of
from notices.kinds import FIRST, UNSTOPPABLE, is_at_once
from notices.mail.send import send
from notices.models import Contact, Delivery, Lane, LaneName
from web.redaction import safe_text

logger = logging.getLogger("reachscore.deliver")

BATCH: Final = 500  # Rows that are spread at once.
# What a report revokes or ends is told as `api_key.leaked`.
REPORTERS: Final = (ActorType.SCANNER, ActorType.STRANGER)
WEEKLY_AT: Final = timedelta(hours=8)  # On Monday, UTC.
# Longer than a slow mail server may take for one mail: each of its answers has EMAIL_TIMEOUT.
LEASE: Final = timedelta(minutes=1)
# After each try that fails; three days in all. Standard Webhooks 1.0.0 advises the same.
RETRY_AFTER: Final = [
    timedelta(minutes=minutes) for minutes in (1 / 12, 5, 30, 120, 300, 600, 840, 1200, 1440)
]
JITTER: Final = 0.2  # A retry is up to so much later: or all that failed together return together.
MOST_IN_A_MAIL: Final = 1_000
LONGEST_ANSWER: Final = 200


def deliver_next() -> bool:
    """Spread waiting rows, and send the next due mail. Return False if there was neither."""
    if not settings.EMAIL_FROM:
        return False
    has_spread = spread()
    if deliveries := _take():
        _send(deliveries)
    return has_spread or bool(deliveries)


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


def _take() -> list[Delivery]:
    """Lease the next mail: one delivery at once, or all weekly ones of a contact that are due.

    A kill after this can repeat this mail alone, under the id of its first delivery.
    """
    now = timezone.now()
    is_free = Q(taken_until=None) | Q(taken_until__lte=now)
    due = Delivery.objects.filter(is_free, delivered_at=None, failed_at=None, due_at__lte=now)
    due = due.select_related("contact", "row", "organization")
    # The index has this order; one ORDER BY over all would sort all that wait, for each mail.
    for lane in (Q(is_at_once=True, type__in=FIRST), Q(is_at_once=True), Q(is_at_once=False)):
        with transaction.atomic():
            # Two deliverers never take weekly ones of the same contact, which is locked, too.
            free = (
                due.filter(lane)
                .order_by("due_at")
                .select_for_update(skip_locked=True, no_key=True, of=("self", "contact"))
            )
            if (first := free.first()) is None:
                continue
            weekly = due.filter(contact=first.contact_id, is_at_once=False)
            # The same order in every try: the first one's id is the mail's.
            taken = [first] if first.is_at_once else list(weekly.order_by("row__created_at", "pk"))
            taken = taken[:MOST_IN_A_MAIL]
            leased = Delivery.objects.filter(pk__in=[delivery.pk for delivery in taken])
            leased.update(taken_until=now + LEASE, tries=F("tries") + 1)
            return taken
    return []


def _send(deliveries: list[Delivery]) -> None:
    """Send a mail, and record what came of it."""
    first = deliveries[0]
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])
    is_listed = contacts_of(first.organization_id).filter(pk=first.contact_id).exists()
    if first.type not in UNSTOPPABLE and (first.contact.unsubscribed_at or not is_listed):
        rows.delete()
        return
    try:
        answer, end = send(deliveries), "delivered"
    except Exception as error:  # A bug in one mail must not hold up the others.
        if not isinstance(error, OSError | DatabaseError | InterfaceError):
            logger.exception("A mail could not be made: %s", first.pk)
        answer = f"{type(error).__name__}: {error}"
        end = "retry" if first.tries < len(RETRY_AFTER) else "failed"
    columns: dict[str, Any] = {"answer": safe_text(answer)[:LONGEST_ANSWER], "taken_until": None}
    if end == "retry":
        later = SystemRandom().uniform(1, 1 + JITTER)
        columns["due_at"] = timezone.now() + RETRY_AFTER[first.tries] * later
    else:
        columns[f"{end}_at"] = timezone.now()
    with transaction.atomic():
        count = rows.filter(delivered_at=None, failed_at=None).update(**columns)
        if end != "retry":
            Lane.objects.filter(pk=LaneName.MAILS).update(**{end: F(end) + count})
