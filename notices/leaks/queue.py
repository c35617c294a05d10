"""The queue of reports: who reports a key waits for nothing that depends on the key."""

import logging
from datetime import timedelta
from typing import Final

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from apikeys.verbs.leak import Place
from audit.actor import Actor
from notices.leaks.found import kill
from notices.models import LeakReport
from web.errors.faults import describe_fault

logger = logging.getLogger("reachscore.leaks")

LEASE_SECONDS: Final = 60
LONGEST_PAUSE: Final = 300  # Seconds between two tries.
MOST_TRIES: Final = 100  # That is eight hours.


def work_off() -> bool:
    """Take one report that is due, small ones first, kill its keys and delete it.

    Returns False if none is due. What fails is tried again later, and in the end dropped. Several
    may work side by side.
    """
    now = timezone.now()
    with transaction.atomic():
        waiting = LeakReport.objects.select_for_update(skip_locked=True).filter(due_at__lte=now)
        report = waiting.order_by("-is_small", "due_at").first()
        if report is None:
            return False
        report.tries += 1
        report.due_at = now + timedelta(seconds=LEASE_SECONDS)
        report.save(update_fields=["tries", "due_at"])
    if report.tries > MOST_TRIES:
        logger.error("Report %s failed %d times and is dropped.", report.pk, MOST_TRIES)
        report.delete()
        return True
    places = dict.fromkeys(map(bytes, report.digests), Place(report.found_at))
    try:
        kill(places, actor=Actor.stranger(), source="revoke_exposed")
    except (OperationalError, InterfaceError) as error:
        logger.warning("Report %s failed: %s", report.pk, describe_fault(error))
        pause = timedelta(seconds=min(2**report.tries, LONGEST_PAUSE))
        LeakReport.objects.filter(pk=report.pk).update(due_at=timezone.now() + pause)
    else:
        report.delete()
    return True
