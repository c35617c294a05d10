from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apikeys.api.querysets import presentable, unused_for
from apikeys.models import ApiKey
from audit.models import AuditHead, OutboxRow
from audit.outbox import lasting_id
from notices.models import KeyNote
from web.commands import VerbCommand

DAYS_BEFORE_THE_END: Final = (1, 7, 30)
# Runs may be 25 hours apart: their timer has a random delay of an hour.
EARLY: Final = timedelta(hours=2)
# Runs that were missed so long lose nothing. What ended earlier is no news to a new contact.
EXPIRED_FOR_AT_MOST: Final = timedelta(days=14)
UNUSED_AFTER: Final = timedelta(days=90)
BATCH: Final = 2_000


class Command(VerbCommand):
    help = (
        "Note keys that expire in 30, 7 or 1 days, have expired, or were unused for 90 days, so "
        "that `deliver` tells the contacts of their organizations. Prints how many. Run it daily."
    )

    def run(self, **options: Any) -> str:
        """Write the rows of the outbox. Another run may write the same: both have the same ids."""
        if not settings.EMAIL_FROM:
            return "0 notices"
        now, total, after = timezone.now(), 0, ""
        while keys := list(_noteworthy(now).filter(pk__gt=after).order_by("pk")[:BATCH]):
            after = keys[-1].pk
            with transaction.atomic():
                known = KeyNote.objects.filter(api_key__in=keys)
                told = set(known.values_list("api_key", "kind", "due_on"))
                notes = [note for key in keys for note in notes_of(key, now)]
                new = [n for n in notes if (n.api_key_id, n.kind, n.due_on) not in told]
                KeyNote.objects.bulk_create(new, ignore_conflicts=True)
                OutboxRow.objects.bulk_create(map(_row, new), ignore_conflicts=True)
            total += len(new)
        return f"{total} notices"


def _noteworthy(now: datetime) -> "QuerySet[Any]":
    """Return the keys of organizations that are heard for which `notes_of` may have any."""
    heard = AuditHead.objects.filter(has_destination=True)
    keys = ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now - EXPIRED_FOR_AT_MOST),
        organization__in=heard.values("pk"),
        revoked_at=None,
    )
    soon = now + timedelta(days=max(DAYS_BEFORE_THE_END)) + EARLY
    found = keys.filter(expires_at__lte=soon) | unused_for(keys, UNUSED_AFTER)
    return presentable(found).prefetch_related(None)  # Notes are about no secret and no scope.


def notes_of(key: Any, now: datetime) -> Iterator[KeyNote]:
    """Yield what is due for a `_noteworthy` key: of its end one kind, and if it is unused.

    A key that was made for less than 30 days is not said to end in 30 days.
    """
    if key.expires_at and key.expires_at <= now:
        yield KeyNote(api_key=key, kind="expired", due_on=key.expires_at.date())
        return
    for days in DAYS_BEFORE_THE_END if key.expires_at else ():
        due = key.expires_at - timedelta(days=days)
        if due <= now + EARLY:
            if due + EARLY >= key.created_at:
                yield KeyNote(api_key=key, kind=f"expiring_{days}", due_on=due.date())
            break
    unused_at = (key.last_used_at or key.created_at) + UNUSED_AFTER
    if unused_at <= now:
        yield KeyNote(api_key=key, kind="unused", due_on=unused_at.date())


def _row(note: KeyNote) -> OutboxRow:
    """Return the row of a note: `api_key.expiring` with the days, `.expired`, or `.unused`."""
    kind, _, days = note.kind.partition("_")
    return OutboxRow(
        id=lasting_id(note.api_key_id, note.kind, note.due_on),
        organization_id=note.api_key.organization_id,
        type=f"api_key.{kind}",
        target_type="api_key",
        target_id=note.api_key_id,
        livemode=note.api_key.livemode,
        data={"days": int(days)} if days else {},
    )
