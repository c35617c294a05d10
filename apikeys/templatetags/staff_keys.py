"""What pages of accounts, which knows nothing of keys, show of them; what needs attention."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from django import template
from django.db.models import QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from accounts.admin.organizations import AttentionFilter
from accounts.models import Organization
from accounts.models.near_limit import NEAR_PERCENT
from accounts.staff.chart import Day, chart_of
from accounts.staff.lists import ChoiceFilter
from apikeys.admin.filters import ScopeFilter, StatusFilter, UnusedFilter
from apikeys.admin.keys import DAYS_SHOWN
from apikeys.models import ApiKey, KeyDay, KeyStatus

register = template.Library()

MOST_SHOWN: Final = 10
# Beyond this the exact number helps nobody, and counting on would read the whole table.
MOST_COUNTED: Final = 1000


@register.inclusion_tag("admin/apikeys/apikey/of_organization.html", takes_context=True)
def keys_of(context: template.Context, organization: Organization) -> dict[str, Any]:
    """Show an organization's newest keys, and how many are active in each mode."""
    active = organization.api_keys.filter(KeyStatus.ACTIVE.condition)
    return {
        "organization": organization,
        "perms": context["perms"],
        "keys": ApiKey.objects.filter(organization=organization)[:MOST_SHOWN],
        "active": [
            (mode, active.filter(livemode=mode == "live")[:MOST_COUNTED].count())
            for mode in ("live", "test")
        ],
        "limit": organization.plan.active_keys_limit,
    }


@register.inclusion_tag("admin/attention.html", takes_context=True)
def attention(context: template.Context) -> dict[str, Any]:
    """Show what this member of staff may see: numbers, each of which leads to the list it counts,
    and the traffic of the last 30 days."""
    user = context["request"].user
    sees_keys = user.has_perm("apikeys.view_apikey")
    sees_organizations = user.has_perm("accounts.view_organization")
    keys = list(_about_keys()) if sees_keys else []
    organizations = list(_about_organizations()) if sees_organizations else []
    return {"matters": keys + organizations, "chart": _traffic() if sees_keys else None}


def _traffic() -> dict[str, Any]:
    """Return the chart of all requests; one query."""
    today = timezone.now().date()
    dates = [today - timedelta(days=back) for back in reversed(range(DAYS_SHOWN))]
    rows = KeyDay.objects.filter(day__gte=dates[0], day__lte=today).values_list("day")
    sums = rows.annotate(Sum("requests"), Sum("limited")).order_by()
    counted = {day: (requests, limited) for day, requests, limited in sums}
    days = [Day(day, *counted.get(day, (0, 0))) for day in dates]
    return chart_of("Requests of the last 30 days, all keys", days)


def _about_keys() -> Iterator[dict[str, Any]]:
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


def _about_organizations() -> Iterator[dict[str, Any]]:
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
) -> dict[str, Any]:
    """Count those of `rows` that a choice of a filter keeps, and lead to the list of them."""
    found = a_filter.narrowed[choice](rows)
    count = found.values("pk")[: MOST_COUNTED + 1].count()
    query[str(a_filter.parameter_name)] = choice
    shown = f"{count:,}" if count <= MOST_COUNTED else f"{MOST_COUNTED:,}+"
    url = f"{reverse(f'admin:{name}_changelist')}?{urlencode(query)}"
    return {"count": count, "shown": shown, "said": said, "url": url}
