"""The queue of reports: whoever reports a key waits for nothing that depends on the key."""

import logging
from datetime import timedelta
from typing import Final

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from audit.actor import Actor
from notices.leaks.found import kill
from notices.models import LeakReport
from notices.models.leak_report import DIGEST_BYTES
from web.errors.faults import describe_fault

logger = logging.getLogger("reachscore.leaks")

LEASE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = 300  # Seconds between two tries.
MOST_TRIES: Final = 100  # That is eight hours.


def work_off() -> bool:
    """Take one report that is due, small ones first, kill its keys and delete it.

    Returns False if none is due. What fails is tried again later; several may work side by side.
    """
    report = _take()
    if report is None:
        return False
    whole = bytes(report.digests)
    digests = {whole[at : at + DIGEST_BYTES] for at in range(0, len(whole), DIGEST_BYTES)}
    mine = LeakReport.objects.filter(pk=report.pk)
    try:
        kill(digests, actor=Actor.stranger(), source="revoke_exposed", url=report.found_at)
    except (OperationalError, InterfaceError) as error:
        logger.warning("Report %s failed: %s", report.pk, describe_fault(error))
        pause = min(2**report.tries, LONGEST_PAUSE)
        mine.update(due_at=timezone.now() + timedelta(seconds=pause))
        return True
    mine.delete()
    return True


def _take() -> LeakReport | None:
    """Return a report that nobody else has in hand, leased, or None. Drop one that always fails."""
    with transaction.atomic():
        waiting = LeakReport.objects.select_for_update(skip_locked=True)
        due = waiting.filter(due_at__lte=timezone.now()).order_by("-is_small", "due_at")
        while (report := due.first()) and report.tries >= MOST_TRIES:
            logger.error("Report %s failed %d times and is dropped.", report.pk, report.tries)
            report.delete()
        if report:
            report.tries += 1
            report.due_at = timezone.now() + LEASE
            report.save(update_fields=["tries", "due_at"])
        return report
