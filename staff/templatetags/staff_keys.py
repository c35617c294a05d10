"""What pages of accounts, which knows nothing of keys, show of them; what needs attention."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

from django import template
from django.contrib.admin import site
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from accounts.models import Organization
from accounts.models.near_limit import NEAR_PERCENT
from apikeys.api.filters import presentable
from apikeys.models import ApiKey, KeyDay, KeyStatus
from staff.keys.filters import ScopeFilter, StatusFilter, UnusedFilter, badge_of, badges_of
from staff.keys.keys import DAYS_SHOWN
from staff.kit.chart import chart_of
from staff.kit.lists import MOST_COUNTED, ChoiceFilter, Rows, counted
from staff.organizations.organizations import AttentionFilter

register = template.Library()
register.filter("badges", badges_of)
register.filter("badge_of_secret", badge_of)

MOST_SHOWN: Final = 10
NEVER_USED: Final = "active live keys were never used since they were made, 30 days ago or more"
MORE_THAN_USED: Final = (
    "active keys hold a scope that they have not used for 30 days since they got it"
)
NEAR: Final = f"organizations have used {NEAR_PERCENT} % or more of a limit"
Matters = tuple[tuple[type[ChoiceFilter], str, str], ...]
ABOUT_KEYS: Final[Matters] = (
    (StatusFilter, "expiring", "active keys expire within 30 days"),
    (UnusedFilter, "90 days", "active live keys were not used for 90 days"),
    (UnusedFilter, "never used", NEVER_USED),
    (ScopeFilter, "more than used", MORE_THAN_USED),
    (StatusFilter, "rotating", "rotations are open: two secrets work"),
    (StatusFilter, "revoked this week", "keys were revoked within a week"),
)
ABOUT_ORGANIZATIONS: Final[Matters] = (
    (AttentionFilter, "near", NEAR),
    (AttentionFilter, "suspended", "organizations are suspended"),
)


@register.inclusion_tag("admin/apikeys/apikey/of_organization.html", takes_context=True)
def keys_of(context: template.Context, organization: Organization) -> dict[str, Any]:
    """Show an organization's newest keys, and how many are active in each mode."""
    newest = ApiKey.objects.filter(organization=organization)
    active = newest.filter(KeyStatus.ACTIVE.condition)
    return {
        "organization": organization,
        "perms": context["perms"],
        "keys": presentable(newest.select_related("organization"))[:MOST_SHOWN],
        "active": [
            (mode, active.filter(livemode=mode == "live")[:MOST_COUNTED].count())
            for mode in ("live", "test")
        ],
        "limit": organization.plan.active_keys_limit,
    }


@register.inclusion_tag("admin/attention.html", takes_context=True)
def attention(context: template.Context) -> dict[str, Any]:
    """Show what this member of staff may see: the search, numbers, each of which leads to the list
    it counts, and the traffic of the last 30 days."""
    may = context["request"].user.has_perm
    matters = []
    if sees_keys := may("apikeys.view_apikey"):
        matters += _counted("apikeys_apikey", ApiKey.objects.order_by(), ABOUT_KEYS)
    if may("accounts.view_organization"):
        everyone = Organization.objects.order_by()
        matters += _counted("accounts_organization", everyone, ABOUT_ORGANIZATIONS)
    return {
        "perms": context["perms"],
        "is_fresh": matters and not Organization.objects.exists(),
        "finder": sees_keys and site.get_model_admin(ApiKey),
        "search_var": SEARCH_VAR,
        "matters": matters,
        "chart": sees_keys and _traffic(),
    }


def _counted(name: str, rows: Rows, matters: Matters) -> list[dict[str, Any]]:
    """Count the rows that each choice of a filter keeps, and lead to the list of them."""
    found = []
    for a_filter, choice, said in matters:
        query = {str(a_filter.parameter_name): choice}
        kept = a_filter.narrowed[choice](rows)
        if a_filter is UnusedFilter:
            kept, query["livemode__exact"] = kept.filter(livemode=True), "1"
        count, shown = counted(kept.values("pk"))
        url = f"{reverse(f'admin:{name}_changelist')}?{urlencode(query)}"
        found.append({"count": count, "shown": shown, "said": said, "url": url})
    return found


def _traffic() -> dict[str, Any]:
    """Return the chart of all requests. Days that are over are added up once a process: a million
    keys have thirty million rows."""
    today = timezone.now().date()
    days = []
    for back in reversed(range(DAYS_SHOWN)):
        add_up = requests_of if back > 1 else requests_of.__wrapped__  # Clocks may differ.
        days.append(add_up(today - timedelta(days=back)))
    return chart_of("Requests of the last 30 days, all keys", days)


@lru_cache(DAYS_SHOWN)
def requests_of(day: date) -> KeyDay:
    """Return what all keys together asked for on this day."""
    sums = KeyDay.objects.filter(day=day).aggregate(
        requests=Sum("requests", default=0), limited=Sum("limited", default=0)
    )
    return KeyDay(day=day, **sums)
