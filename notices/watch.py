"""The daily look at keys: which ends are near or past, and which keys nobody uses."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from apikeys.models import ApiKey, KeySecret
from audit.models import AuditHead, OutboxRow
from audit.outbox import lasting_id
from notices.models import KeyNote

DAYS_BEFORE_THE_END: Final = (1, 7, 30)
# Runs may be 25 hours apart: their timer has a random delay of an hour.
EARLY: Final = timedelta(hours=2)
# Runs that were missed so long lose nothing. What ended earlier is no news to a new contact.
EXPIRED_FOR_AT_MOST: Final = timedelta(days=14)
UNUSED_AFTER: Final = timedelta(days=90)
BATCH: Final = 2_000


def watch_keys() -> int:
    """Write a row of the outbox for each key and kind that is due. Return how many were written."""
    if not settings.EMAIL_FROM:
        return 0
    now, total, after = timezone.now(), 0, ""
    while keys := list(_noteworthy(now).filter(pk__gt=after).order_by("pk")[:BATCH]):
        total += _write([note for key in keys for note in notes_of(key, now)])
        after = keys[-1].pk
    return total


def _noteworthy(now: datetime) -> "QuerySet[Any]":
    """Return the keys of organizations that are heard for which `notes_of` may have any."""
    heard = AuditHead.objects.filter(has_destination=True)
    secrets = KeySecret.objects.filter(api_key=OuterRef("pk"), last_used_at__isnull=False)
    last = Subquery(secrets.order_by("-last_used_at").values("last_used_at")[:1])
    keys = ApiKey.objects.annotate(used_at=Coalesce(last, "created_at"))
    ends_soon = Q(expires_at__lte=now + timedelta(days=max(DAYS_BEFORE_THE_END)) + EARLY)
    return keys.filter(
        Q(expires_at=None) | Q(expires_at__gt=now - EXPIRED_FOR_AT_MOST),
        ends_soon | Q(used_at__lte=now - UNUSED_AFTER),
        organization__in=heard.values("pk"),
        revoked_at=None,
    )


def notes_of(key: Any, now: datetime) -> Iterator[tuple[KeyNote, OutboxRow]]:
    """Yield what is due for a `_noteworthy` key: of its end one kind, and if it is unused.

    A key that was made for less than 30 days is not said to end in 30 days.
    """
    left = key.expires_at - now if key.expires_at else None
    if left is not None and left <= timedelta(0):
        yield _note(key, "api_key.expired", key.expires_at)
        return
    for days in DAYS_BEFORE_THE_END:
        if left is not None and left <= timedelta(days=days) + EARLY:
            due = key.expires_at - timedelta(days=days)
            if due + EARLY >= key.created_at:
                yield _note(key, "api_key.expiring", due, days=days)
            break
    if key.used_at <= now - UNUSED_AFTER:
        yield _note(key, "api_key.unused", key.used_at + UNUSED_AFTER)


def _note(key: ApiKey, type_: str, due: datetime, **data: int) -> tuple[KeyNote, OutboxRow]:
    kind = "_".join([type_.partition(".")[2], *map(str, data.values())])
    note = KeyNote(api_key=key, kind=kind, due_on=due.date())
    return note, OutboxRow(
        id=lasting_id(key.pk, kind, note.due_on),
        organization_id=key.organization_id,
        type=type_,
        target_type="api_key",
        target_id=key.pk,
        livemode=key.livemode,
        data=data,
    )


def _write(notes: list[tuple[KeyNote, OutboxRow]]) -> int:
    """Write those that are new. Another run may write the same: both have the same ids."""
    keys = {note.api_key_id for note, _ in notes}
    with transaction.atomic():
        known = KeyNote.objects.filter(api_key__in=keys)
        told = set(known.values_list("api_key", "kind", "due_on"))
        new = [
            (note, row)
            for note, row in notes
            if (note.api_key_id, note.kind, note.due_on) not in told
        ]
        KeyNote.objects.bulk_create((note for note, _ in new), ignore_conflicts=True)
        OutboxRow.objects.bulk_create((row for _, row in new), ignore_conflicts=True)
    return len(new)
