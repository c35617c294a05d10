"""What pages of accounts, which knows nothing of keys, show of them."""

from typing import Any, Final

from django import template

from accounts.models import Organization
from apikeys.admin.attention import chart_for, matters_for
from apikeys.models import ApiKey, KeyStatus

register = template.Library()

MOST_SHOWN: Final = 10
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
    """Show what needs attention, and the traffic of the last 30 days."""
    request = context["request"]
    return {"matters": list(matters_for(request)), "chart": chart_for(request)}
