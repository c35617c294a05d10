"""Retention: which rows are deleted, and when. A table whose rows age belongs in here."""

from collections.abc import Callable
from datetime import date
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apikeys.models import KeyDay, KeySecret, RememberedRequest
from apikeys.models.key_secret import NO_PEPPER
from apikeys.models.remembered_request import REMEMBERED_FOR
from staff.models import LogInTries
from staff.models.log_in_tries import COOL_OFF
from web.commands import VerbCommand

MONTHS_OF_KEY_DAYS: Final = 13
BATCH: Final = 5_000


class Command(VerbCommand):
    help = (
        "Delete rows that are no longer needed: each key's daily counts after 13 months, failed "
        "log-ins after 15 minutes, requests with an Idempotency-Key after 24 hours. Mark ended "
        "secrets whose pepper was dropped. Prints how many of each. Run it daily."
    )

    def run(self, **options: Any) -> str:
        now = timezone.now()
        months = now.year * 12 + now.month - 1 - MONTHS_OF_KEY_DAYS
        oldest = date(months // 12, months % 12 + 1, 1)
        too_old = RememberedRequest.objects.filter(created_at__lte=now - REMEMBERED_FOR)
        missing = KeySecret.objects.under_missing_pepper()
        counts = {
            "key days": in_batches(KeyDay.objects.filter(day__lt=oldest), delete),
            "log-in tries": in_batches(
                LogInTries.objects.filter(failed_at__lte=now - COOL_OFF), delete
            ),
            "remembered requests": in_batches(too_old, delete),
            # Unmarked, a million of them make every /readyz slower by a second.
            "ended secrets": in_batches(
                missing.exclude(pk__in=KeySecret.objects.usable()),
                lambda batch: batch.update(pepper_id=NO_PEPPER),
            ),
        }
        return "\n".join(f"{count} {name}" for name, count in counts.items())


def in_batches(rows: "QuerySet[Any]", act: "Callable[[QuerySet[Any]], int]") -> int:
    """Apply `act` to `rows`, one transaction per batch. Return the number of rows affected.

    Rows that another transaction has locked are left for the next run.
    """
    total, found = 0, BATCH
    while found == BATCH:
        free = rows.order_by().select_for_update(skip_locked=True)
        with transaction.atomic():
            # Not a subquery: PostgreSQL may run that more than once, with SKIP LOCKED finding other
            # rows each time.
            ids = list(free.values_list("pk", flat=True)[:BATCH])
            total += act(rows.model.objects.filter(pk__in=ids))
        found = len(ids)
    return total


def delete(batch: "QuerySet[Any]") -> int:
    """Delete the rows of `batch` and return their number."""
    return batch.delete()[0]
