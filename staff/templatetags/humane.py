"""Template filters: numbers, times, badges and changes as staff read them."""

from typing import Any

from django import template

from apikeys.networks import respelled
from staff.keys.filters import badge_of, badges_of
from staff.kit.lists import badge, moment

register = template.Library()
register.filter("badge", badge)
register.filter("badges", badges_of)
register.filter("badge_of_secret", badge_of)
register.filter("moment", moment)


@register.filter
def plain(value: Any) -> str:
    """Return a value of an event as people would write it."""
    if isinstance(value, list):
        value = ", ".join(map(str, respelled(value)))
    return "none" if value is None or value == "" else str(value)
