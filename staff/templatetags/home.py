"""The home page: what needs attention, and the traffic of the last 30 days."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

from django import template
from django.conf import settings
from django.contrib.admin import site
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Sum
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from accounts.models.usage import NEAR_PERCENT
from apikeys.models import ApiKey, KeyDay
from staff.keys.filters import ScopeFilter, StatusFilter, UnusedFilter
from staff.keys.keys import DAYS_SHOWN
from staff.kit.lists import ChoiceFilter, Rows, chart_of, counted
from staff.organizations.organizations import AttentionFilter

register = template.Library()

# A filter, its choice, what is counted (one,many), and the rest of the sentence.
Matters = tuple[tuple[type[ChoiceFilter], str, str, str], ...]
USED: Final = "active live key was,active live keys were"
UNUSED: Final = "a scope that was granted 30 days ago or more and never used"
KEYLESS: Final = "lost the last unrestricted live key within 30 days"
NEAR: Final = f"used {NEAR_PERCENT} % or more of a limit"
ABOUT_KEYS: Final[Matters] = (
    (StatusFilter, "expiring", "active key expires,active keys expire", "within 30 days"),
    (UnusedFilter, "90 days", USED, "not used for 90 days"),
    (UnusedFilter, "never used", USED, "made 30 days ago or more and never used"),
    (ScopeFilter, "more than used", "active key holds,active keys hold", UNUSED),
    (StatusFilter, "rotating", "rotation is,rotations are", "open: two secrets work"),
    (StatusFilter, "revoked this week", "key was,keys were", "revoked within a week"),
)
ABOUT_ORGANIZATIONS: Final[Matters] = (
    (AttentionFilter, "near", "organization has,organizations have", NEAR),
    (AttentionFilter, "keyless", "organization has,organizations have", KEYLESS),
    (AttentionFilter, "suspended", "organization is,organizations are", "suspended"),
)


@register.inclusion_tag("admin/attention.html", takes_context=True)
def attention(context: template.Context) -> dict[str, Any]:
    """Show the search, a number for each matter, and the chart, as far as this user's rights go."""
    may = context["request"].user.has_perm
    matters = []
    if sees_keys := may("apikeys.view_apikey"):
        matters += _counted("apikeys_apikey", ApiKey.objects.order_by(), ABOUT_KEYS)
    if may("accounts.view_organization"):
        everyone = Organization.objects.order_by()
        matters += _counted("accounts_organization", everyone, ABOUT_ORGANIZATIONS)
    return {
        "perms": context["perms"],
        "has_no_mail": not settings.EMAIL_FROM,
        "is_fresh": matters and not Organization.objects.exists(),
        "finder": sees_keys and site.get_model_admin(ApiKey),
        "search_var": SEARCH_VAR,
        "matters": matters,
        "chart": sees_keys and _traffic(),
    }


def _counted(name: str, rows: Rows, matters: Matters) -> list[dict[str, Any]]:
    """Return for each matter how many rows its filter keeps, and the address of their list."""
    found = []
    for a_filter, choice, counted_as, rest in matters:
        query = {str(a_filter.parameter_name): choice}
        kept = a_filter.narrowed[choice](rows)
        if a_filter is UnusedFilter:
            kept, query["livemode__exact"] = kept.filter(livemode=True), "1"
        count, shown = counted(kept.values("pk"))
        url = reverse(f"admin:{name}_changelist", query=query)
        said = f"{pluralize(count, counted_as)} {rest}"
        found.append({"count": count, "shown": shown, "said": said, "url": url})
    return found


def _traffic() -> dict[str, Any]:
    today = timezone.now().date()
    days = []
    for back in reversed(range(DAYS_SHOWN)):
        # Yesterday is summed each time, too: another process's clock may still count into it.
        add_up = requests_of if back > 1 else requests_of.__wrapped__
        days.append(add_up(today - timedelta(days=back)))
    return chart_of("Requests of the last 30 days, all keys", days)


@lru_cache(DAYS_SHOWN)
def requests_of(day: date) -> KeyDay:
    """Return the requests of all keys on a day, cached: a million keys have as many rows a day."""
    sums = {name: Sum(name, default=0) for name in ("requests", "limited")}
    return KeyDay(day=day, **KeyDay.objects.filter(day=day).aggregate(**sums))
