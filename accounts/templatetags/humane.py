"""How staff read numbers, times and changes."""

from datetime import datetime
from typing import Any

from django import template
from django.utils.safestring import SafeString

from accounts.staff.columns import badge as badge_of
from accounts.staff.columns import moment as moment_of

register = template.Library()


@register.filter
def thousands(number: int) -> str:
    """Write 1234567 as 1,234,567."""
    return f"{number:,}"


@register.filter
def moment(value: datetime | None, never: str = "") -> SafeString:
    """Write a day, with the exact time on hover."""
    return moment_of(value, never=never)


@register.filter
def minute(value: datetime) -> SafeString:
    """Write a day with hour and minute, with the exact time on hover."""
    return moment_of(value, minutes=True)


@register.filter
def badge(kind: Any, text: str = "") -> SafeString:
    """Write a word on a coloured ground."""
    return badge_of(str(kind), text)


@register.filter
def plain(value: Any) -> str:
    """Write a value out of an event as people would."""
    if value is None or value == "":
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
