"""Retention: which rows are deleted, and when. A table whose rows age belongs in here."""

from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from apikeys.models import ApiKey, KeyDay, KeySecret, RememberedRequest
from apikeys.models.remembered_request import REMEMBERED_FOR
from audit.models import OutboxRow
from notices.models import LINK_LASTS, Contact, Delivery, KeyNote, ReportWindow
from staff.models import LogInTries
from staff.models.log_in_tries import COOL_OFF
from web.commands import VerbCommand

MONTHS_OF_KEY_DAYS: Final = 13
NOTICES_KEPT: Final = timedelta(days=30)
BATCH: Final = 10_000
# The rows are found, locked and deleted at once: as a list of parameters, 5,000 composite keys
# exceed PostgreSQL's max_stack_depth. MATERIALIZED: a plain subquery might run twice, with SKIP
# LOCKED finding other rows.
BATCHED: Final = "WITH free AS MATERIALIZED ({free}) {change} WHERE ({key}) IN (TABLE free)"


class Command(VerbCommand):
    help = (
        "Delete rows that are no longer needed: each key's daily counts after 13 months, failed "
        "log-ins after 15 minutes, requests with an Idempotency-Key after 24 hours, the "
        "windows that limit reports of exposed keys after an hour, notices 30 days after their "
        "delivery, contacts that did not verify within 7 days or were removed. Mark ended "
        "secrets whose pepper was dropped. Prints how many of each. Run it daily."
    )

    def run(self, **options: Any) -> str:
        now = timezone.now()
        months = now.year * 12 + now.month - 1 - MONTHS_OF_KEY_DAYS
        oldest = date(months // 12, months % 12 + 1, 1)
        too_old = RememberedRequest.objects.filter(created_at__lte=now - REMEMBERED_FOR)
        missing = KeySecret.objects.under_missing_pepper()
        ended = missing.exclude(pk__in=KeySecret.objects.usable())
        counts = {
            "key days": in_batches(KeyDay.objects.filter(day__lt=oldest)),
            "log-in tries": in_batches(LogInTries.objects.filter(failed_at__lte=now - COOL_OFF)),
            "remembered requests": in_batches(too_old),
            "report windows": in_batches(ReportWindow.objects.filter(ends_at__lte=now)),
            **forget_notices(now),
            # Unmarked, a million of them make every /readyz slower by a second. 0 is NO_PEPPER.
            "ended secrets": in_batches(ended, "UPDATE {table} SET pepper_id = 0"),
        }
        return "\n".join(f"{count} {name}" for name, count in counts.items())


def forget_notices(now: datetime) -> dict[str, int]:
    """Delete notices, then the contacts and rows that no notice needs any more."""
    old = now - NOTICES_KEPT
    ended = Delivery.objects.filter(Q(delivered_at__lte=old) | Q(failed_at__lte=old))
    of_row = Delivery.objects.filter(row=OuterRef("pk"))
    rows = OutboxRow.objects.filter(~Exists(of_row), spread_at__lte=old)
    of_contact = Delivery.objects.filter(contact=OuterRef("pk"))
    # A removed one stays as long: what was written before its removal may not be spread yet.
    gone = Q(verified_at=None, created_at__lte=now - LINK_LASTS) | Q(removed_at__lte=old)
    contacts = Contact.objects.filter(~Exists(of_contact), gone)
    over = ApiKey.objects.exclude(revoked_at=None) | ApiKey.objects.filter(expires_at__lte=old)
    return {
        "deliveries": in_batches(ended),
        "outbox rows": in_batches(rows),
        "contacts": in_batches(contacts),
        "notes of ended keys": in_batches(KeyNote.objects.filter(api_key__in=over)),
    }


def in_batches(rows: "QuerySet[Any]", change: str = "DELETE FROM {table}") -> int:
    """Delete or change `rows`, one transaction per batch. Return their number.

    Rows that another transaction has locked are left for the next run.
    """
    free = rows.order_by().select_for_update(skip_locked=True).values_list("pk")
    meta = rows.model._meta  # noqa: SLF001 - Django's documented way to a column
    change, key = change.format(table=meta.db_table), ", ".join(f.column for f in meta.pk_fields)
    total, found = 0, BATCH
    while found:
        with transaction.atomic(), connection.cursor() as cursor:
            select, parameters = free[:BATCH].query.sql_with_params()
            # Put together of Django's own SQL and the names of models; every value is a parameter.
            batched = BATCHED.format(free=select, change=change, key=key)
            cursor.execute(batched, parameters)
            found = cursor.rowcount
        total += found
    return total
