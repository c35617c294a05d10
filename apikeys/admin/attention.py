"""What needs somebody's attention: numbers, each of which leads to the list it counts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from accounts.admin.organizations import AttentionFilter
from accounts.models import Organization
from accounts.models.near_limit import NEAR_PERCENT
from accounts.staff import ChoiceFilter
from accounts.staff.chart import Chart, Day
from apikeys.admin.filters import ScopeFilter, StatusFilter, UnusedFilter
from apikeys.admin.keys import DAYS_SHOWN
from apikeys.models import ApiKey, KeyDay

# Beyond this the exact number helps nobody, and counting on would read the whole table.
MOST_COUNTED: Final = 1000


@dataclass(frozen=True)
class Matter:
    """A number, what it counts, and where that is listed."""

    count: int
    said: str
    url: str

    @property
    def shown(self) -> str:
        return f"{self.count:,}" if self.count <= MOST_COUNTED else f"{MOST_COUNTED:,}+"


def matters_for(request: HttpRequest) -> Iterator[Matter]:
    """Yield what this member of staff may see, whether there is anything of it or not."""
    if request.user.has_perm("apikeys.view_apikey"):
        yield from _about_keys()
    if request.user.has_perm("accounts.view_organization"):
        yield from _about_organizations()


def chart_for(request: HttpRequest) -> Chart | None:
    """Return all requests of the last 30 days, for those who may see keys; one query."""
    if not request.user.has_perm("apikeys.view_apikey"):
        return None
    today = timezone.now().date()
    dates = [today - timedelta(days=back) for back in reversed(range(DAYS_SHOWN))]
    rows = KeyDay.objects.filter(day__gte=dates[0], day__lte=today).values_list("day")
    sums = rows.annotate(Sum("requests"), Sum("limited")).order_by()
    counted = {day: (requests, limited) for day, requests, limited in sums}
    days = [Day(day, *counted.get(day, (0, 0))) for day in dates]
    return Chart("Requests of the last 30 days, all keys", days)


def _about_keys() -> Iterator[Matter]:
    keys = ApiKey.objects.order_by()
    live = keys.filter(livemode=True)
    for found, said, a_filter, choice in (
        (keys, "active keys expire within 30 days", StatusFilter, "expiring"),
        (live, "active live keys were not used for 90 days", UnusedFilter, "90 days"),
        (
            live,
            "active live keys were never used since they were made, 30 days ago or more",
            UnusedFilter,
            "never used",
        ),
        (
            keys,
            "active keys hold a scope that they have not used for 30 days since they got it",
            ScopeFilter,
            "more than used",
        ),
        (keys, "rotations are open: two secrets work", StatusFilter, "rotating"),
        (keys, "keys were revoked within a week", StatusFilter, "revoked this week"),
    ):
        query = {"livemode__exact": "1"} if found is live else {}
        yield _matter("apikeys_apikey", found, said, a_filter, choice, **query)


def _about_organizations() -> Iterator[Matter]:
    for said, choice in (
        (f"organizations have used {NEAR_PERCENT} % or more of a limit", "near"),
        ("organizations are suspended", "suspended"),
    ):
        everyone = Organization.objects.order_by()
        yield _matter("accounts_organization", everyone, said, AttentionFilter, choice)


def _matter(
    name: str,
    rows: QuerySet[Any],
    said: str,
    a_filter: type[ChoiceFilter],
    choice: str,
    **query: str,
) -> Matter:
    """Count those of `rows` that a choice of a filter keeps, and lead to the list of them."""
    found = a_filter.narrowed[choice](rows)
    count = found.values("pk")[: MOST_COUNTED + 1].count()
    query[str(a_filter.parameter_name)] = choice
    return Matter(count, said, f"{reverse(f'admin:{name}_changelist')}?{urlencode(query)}")
