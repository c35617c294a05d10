"""How cells are written: badges, and short dates whose exact time shows on hover."""

from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from reachscore.api.moments import format_moment

NOTHING = format_html('<span class="quiet">{}</span>', "—")


def badge(kind: str, text: str = "") -> SafeString:
    """Return a word on a coloured ground; the word says it all, the colour only helps."""
    return format_html('<span class="badge badge-{}">{}</span>', kind, text or kind)


def moment(value: datetime | None, never: str = "", *, minutes: bool = False) -> SafeString:
    """Return a day, perhaps with hour and minute, with the exact time on hover; `never`, or a dash,
    for none."""
    if value is None:
        return format_html('<span class="quiet">{}</span>', never) if never else NOTHING
    exact = format_moment(value)
    shown = f"{exact[:10]} {exact[11:16]}" if minutes else exact[:10]
    return format_html(
        '<time datetime="{}" title="{} {} UTC">{}</time>', exact, exact[:10], exact[11:19], shown
    )
