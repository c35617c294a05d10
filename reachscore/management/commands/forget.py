"""Retention: which rows are deleted, and when. A table whose rows age belongs in here."""

from datetime import date
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from apikeys.models import KeyDay, KeySecret, RememberedRequest
from apikeys.models.remembered_request import REMEMBERED_FOR
from staff.models import LogInTries
from staff.models.log_in_tries import COOL_OFF
from web.commands import VerbCommand

MONTHS_OF_KEY_DAYS: Final = 13
BATCH: Final = 10_000
# By their place in the table: 5,000 composite keys in a list exceed PostgreSQL's max_stack_depth.
# ARRAY() runs once; as a plain subquery, SKIP LOCKED could run again and find other rows.
BATCHED: Final = "STATEMENT WHERE ctid = ANY (ARRAY(CHOSEN))"


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
        tries = LogInTries.objects.filter(failed_at__lte=now - COOL_OFF)
        days = KeyDay.objects.filter(day__lt=oldest)
        ended = missing.exclude(pk__in=KeySecret.objects.usable())
        counts = {
            "key days": in_batches("DELETE FROM apikeys_keyday", days),
            "log-in tries": in_batches("DELETE FROM staff_logintries", tries),
            "remembered requests": in_batches("DELETE FROM apikeys_rememberedrequest", too_old),
            # Unmarked, a million of them make every /readyz slower by a second. 0 is NO_PEPPER.
            "ended secrets": in_batches("UPDATE apikeys_keysecret SET pepper_id = 0", ended),
        }
        return "\n".join(f"{count} {name}" for name, count in counts.items())


def in_batches(statement: str, rows: "QuerySet[Any]") -> int:
    """Run `statement` on `rows`, one transaction per batch. Return the number of rows affected.

    Rows that another transaction has locked are left for the next run.
    """
    free = rows.order_by().select_for_update(skip_locked=True).values_list(RawSQL("ctid", ()))
    total, found = 0, BATCH
    while found:
        with transaction.atomic(), connection.cursor() as cursor:
            chosen, parameters = free[:BATCH].query.sql_with_params()
            batched = BATCHED.replace("STATEMENT", statement).replace("CHOSEN", chosen)
            cursor.execute(batched, parameters)
            found = cursor.rowcount
        total += found
    return total
