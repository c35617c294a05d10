"""Deliveries by mail: one is taken under a lease, sent, and its end recorded (at least once)."""

import logging
from datetime import timedelta
from random import SystemRandom
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F, Q
from django.utils import timezone

from notices.contacts import contacts_of
from notices.deliver.spread import spread
from notices.kinds import FIRST, UNSTOPPABLE
from notices.mail.send import send
from notices.models import Delivery, Lane, LaneName
from web.redaction import safe_text

logger = logging.getLogger("reachscore.deliver")

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
    except (DatabaseError, InterfaceError):
        raise  # Nothing can be recorded: it is tried again once its lease has ended.
    except Exception as error:  # A bug in one mail must not hold up the others.
        if not isinstance(error, OSError):
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
