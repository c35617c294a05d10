"""Organizations that are close to a limit of their plan."""

from datetime import datetime
from typing import Final

from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.fields import BigIntegerField, DateField
from django.db.models.functions import Cast, Coalesce

from accounts.models.usage import ALWAYS, Meter, Usage

NEAR_PERCENT: Final = 80


def near_limit(now: datetime) -> QuerySet[Usage]:
    """Return live usage of the current period that is at NEAR_PERCENT of its limit or more."""
    month = now.date().replace(day=1)
    # The same rule as `period_of`, in SQL.
    period = Case(
        When(meter=Meter.TESTS, organization__plan__tests_renew=True, then=Value(month)),
        default=Value(ALWAYS),
        output_field=DateField(),
    )
    limit: Case | Cast = Case(
        When(meter=Meter.TESTS, then=_limit("tests_limit")),
        When(meter=Meter.DOMAINS, then=_limit("domains_limit")),
    )
    rows = Usage.objects.filter(period_start__in=(month, ALWAYS), livemode=True)
    # A limit fits an integer column, but its product with a percentage may not.
    limit = Cast(limit, BigIntegerField())
    return rows.annotate(period=period, limit=limit).filter(
        period_start=F("period"), used__gt=0, used__gte=F("limit") * NEAR_PERCENT / 100
    )


def _limit(name: str) -> Coalesce:
    return Coalesce(f"organization__{name}", f"organization__plan__{name}")
