"""Kill what was found in public: keys and secrets of which somebody sent us the plaintext.

Reports by anyone wait in a queue, so that who reports a key waits for nothing that depends on it.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from apikeys.models import KeySecret
from apikeys.verbs.leak import LEAKED, Place, act_on_leak
from audit.actor import Actor
from audit.models import AuditEvent
from notices.models import LeakReport
from web.context import current
from web.database.stale import once_more
from web.errors.faults import describe_fault

logger = logging.getLogger("reachscore.leaks")

AT_ONCE: Final = 1000  # Digests that one query looks up.
# For an organization's lock, as in a request: `deliver` has other reports to work off.
WAIT_BRIEFLY: Final = "SET LOCAL lock_timeout = '2s'"
LEASE: Final = timedelta(minutes=1)
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
        report.due_at = now + LEASE
        report.save(update_fields=["tries", "due_at"])
    try:
        if report.tries > MOST_TRIES:
            logger.error("Report %s failed %d times and is dropped.", report.pk, MOST_TRIES)
        else:
            places = dict.fromkeys(map(bytes, report.digests), Place(report.found_at))
            kill(places, actor=Actor.stranger(), source="revoke_exposed")
        report.delete()
    except (OperationalError, InterfaceError) as error:
        logger.warning("Report %s failed: %s", report.pk, describe_fault(error))
        pause = timedelta(seconds=min(2**report.tries, LONGEST_PAUSE))
        LeakReport.objects.filter(pk=report.pk).update(due_at=timezone.now() + pause)
    return True


def kill(places: Mapping[bytes, Place], *, actor: Actor, source: str) -> set[bytes]:
    """Act on the secrets with these digests, and return the digests that we know, in any state.

    `places` says of each digest where it was found. Each organization has a transaction of its own.
    If one fails, the others are still tried.

    Raises OperationalError or InterfaceError if one failed. To repeat the call is safe.
    """
    known: set[bytes] = set()
    found: defaultdict[str, dict[int, Place]] = defaultdict(dict)
    reports = AuditEvent.objects.filter(
        target_id=OuterRef("api_key_id"), action=LEAKED, changes__source__1=source
    )
    secrets: Any = KeySecret.objects.select_related("api_key").annotate(is_known=Exists(reports))
    left = iter(places)
    while batch := list(islice(left, AT_ONCE)):
        for secret in secrets.filter(digest__in=batch):
            digest = bytes(secret.digest)
            known.add(digest)
            if secret.api_key.is_active or not secret.is_known:  # Else it is dead, and recorded.
                found[secret.api_key.organization_id][secret.pk] = places[digest]
    faults = []
    for organization_id, places_of in found.items():
        try:
            once_more(_act)(organization_id, places_of, actor=actor, source=source)
        except (OperationalError, InterfaceError) as error:
            faults.append(error)
    if faults:
        raise faults[0]
    return known


def _act(organization_id: str, places: Mapping[int, Place], *, actor: Actor, source: str) -> None:
    if current().deadline is not None:  # The connections of requests have the time-out already.
        act_on_leak(organization_id, places, actor=actor, source=source)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(WAIT_BRIEFLY)
        act_on_leak(organization_id, places, actor=actor, source=source)
