"""Quotas, for the services that live on this one: count what was made, or refuse it as too much.

All functions take part in the caller's transaction: what is rolled back was not counted.
"""

from collections.abc import Callable
from datetime import date
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

from django.db import transaction
from django.utils import timezone

from accounts.models import Meter, Usage
from accounts.models.usage import ALWAYS, NEAR_PERCENT, month_of, period_of, used_now
from apikeys.authentication.caller import Caller, caller_of
from apikeys.models import KeyMonth
from apikeys.refusals import QuotaExceeded
from audit.models import AuditHead, OutboxRow
from audit.outbox import is_open, lasting_id
from web.database import fetch_all

# As accounts.models.usage.TAKE, for the share of one key.
TAKE_TESTS: Final = """
    INSERT INTO apikeys_keymonth AS m (api_key_id, month, tests)
    SELECT %(key_id)s, %(month)s, %(n)s
     WHERE %(limit)s::bigint IS NULL OR %(n)s <= %(limit)s
        ON CONFLICT (api_key_id, month) DO UPDATE
       SET tests = m.tests + EXCLUDED.tests
     WHERE %(limit)s::bigint IS NULL OR m.tests + EXCLUDED.tests <= %(limit)s
 RETURNING tests
"""

View = TypeVar("View", bound=Callable[..., Any])


def consume(caller: Caller, meter: Meter, n: int = 1) -> None:
    """Count `n`, 1 or more, against the plan, and tests against the key's own monthly share.

    What a test key uses is counted apart and never refused. The addition that reaches 80 % or all
    of the plan's limit writes a notice, in the same transaction.

    Raises QuotaExceeded if the plan or the key's share is used up; nothing is counted then.
    """
    if n < 1:
        raise ValueError("n must be 1 or more.")
    now = timezone.now()
    period_start = period_of(meter, tests_renew=caller.tests_renew, now=now)
    of_plan = caller.tests_limit if meter is Meter.TESTS else caller.domains_limit
    limit = of_plan if caller.livemode else None
    with transaction.atomic():
        # The organization's row first, everywhere: two that wait for each other would never end.
        row = {**caller.ownership, "meter": meter, "period_start": period_start}
        if (used := Usage.take(**row, n=n, limit=limit)) is None:
            raise QuotaExceeded(
                meter,
                limit=limit or 0,
                used=used_now(**caller.ownership, tests_renew=caller.tests_renew, now=now)[meter],
                resets_at=None if period_start == ALWAYS else month_of(now)[1],
            )
        if meter is Meter.TESTS:
            _take_share(caller, n)
        for percent in (NEAR_PERCENT, 100):
            if limit and (used - n) * 100 < limit * percent <= used * 100:
                data = {"meter": meter.value, "used": used, "limit": limit}
                _tell(caller, f"usage.quota_{percent}", data, period_start)


def release(caller: Caller, meter: Meter, n: int = 1) -> None:
    """Count `n` less of what stands, such as a domain that is gone; never less than nothing.

    Raises ValueError for tests: one that is released after the month's turn, or by another key
    than the one whose share it took, would be taken from the wrong count.
    """
    if n < 1:
        raise ValueError("n must be 1 or more.")
    if meter is Meter.TESTS:
        raise ValueError("Tests are counted when they are made and cannot be released.")
    Usage.give_back(**caller.ownership, meter=meter, period_start=ALWAYS, n=n)


def metered(meter: Meter) -> Callable[[View], View]:
    """Decorate a method of a DRF view that makes one of what `meter` counts.

    The method runs inside a transaction, and what it made is counted last: a refused call costs
    nothing, and if the quota is used up, nothing was made. Effects outside the database, such as
    sending a mail, belong into `transaction.on_commit`.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def counted(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            with transaction.atomic():
                response = view(self, request, *args, **kwargs)
                if response.status_code < HTTPStatus.BAD_REQUEST:
                    consume(caller_of(request), meter)
                else:
                    transaction.set_rollback(True)
            return response

        return cast(View, counted)

    return decorate


def _tell(caller: Caller, type_: str, data: dict[str, Any], period_start: date) -> None:
    """Write a row of the outbox, once for each meter, period and limit.

    Domains can be released and cross again. `forget` deletes the row 30 days after its delivery,
    and then it is told again: not each time.
    """
    organization_id = caller.organization_id
    head = AuditHead.objects.filter(pk=organization_id, has_destination=True)
    if is_open(head.exists()):
        row = OutboxRow(
            id=lasting_id(organization_id, type_, data["meter"], period_start, data["limit"]),
            type=type_,
            target_type="organization",
            target_id=organization_id,
            data=data,
            **caller.ownership,
        )
        OutboxRow.objects.bulk_create([row], ignore_conflicts=True)


def _take_share(caller: Caller, n: int) -> None:
    """Count `n` tests of the key's own month. Raise QuotaExceeded beyond its share."""
    begins, ends = month_of(timezone.now())
    share = caller.max_tests_per_month if caller.livemode else None
    row = {"key_id": caller.key_id, "month": begins.date()}
    if fetch_all(TAKE_TESTS, {**row, "n": n, "limit": share}):
        return
    used = KeyMonth.objects.filter(api_key_id=caller.key_id, month=begins.date())
    tests = used.values_list("tests", flat=True).first() or 0
    raise QuotaExceeded(Meter.TESTS, limit=share or 0, used=tests, resets_at=ends, of_key=True)
