from datetime import date
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import LogInTries
from apikeys.models import KeyDay, RememberedRequest
from reachscore.api.commands import VerbCommand

MONTHS_OF_KEY_DAYS: Final = 13
BATCH: Final = 5_000


class Command(VerbCommand):
    help = (
        "Delete the rows that nothing needs any more: requests a day of each key after 13 months, "
        "tries to log in after 15 minutes, requests with an Idempotency-Key after 24 hours. Prints "
        "how many of each. Run it daily."
    )

    def run(self, **options: Any) -> str:
        now = timezone.now()
        months = now.year * 12 + now.month - 1 - MONTHS_OF_KEY_DAYS
        oldest = date(months // 12, months % 12 + 1, 1)
        return "\n".join(
            f"{delete_in_batches(rows)} {name}"
            for name, rows in (
                ("key days", KeyDay.objects.filter(day__lt=oldest)),
                ("log-in tries", LogInTries.objects.filter(ends_at__lte=now)),
                ("remembered requests", RememberedRequest.too_old(now)),
            )
        )


def delete_in_batches(rows: "QuerySet[Any]") -> int:
    """Delete `rows`, each batch in a transaction of its own; return how many.

    Rows that somebody else holds are left for the next run.
    """
    total = 0
    deleted = BATCH
    while deleted == BATCH:
        batch = rows.select_for_update(skip_locked=True).values("pk")[:BATCH]
        deleted, _ = rows.model.objects.filter(pk__in=batch).delete()
        total += deleted
    return total
