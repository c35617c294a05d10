"""How staff read numbers, times and changes."""

from typing import Any

from django import template

from staff.kit.lists import badge, moment

register = template.Library()
register.filter("badge", badge)
register.filter("moment", moment)


@register.filter
def thousands(number: int) -> str:
    """Write 1234567 as 1,234,567."""
    return f"{number:,}"


@register.filter
def plain(value: Any) -> str:
    """Write a value out of an event as people would."""
    if value is None or value == "":
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
