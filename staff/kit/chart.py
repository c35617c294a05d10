"""A small bar chart, drawn here: no script, no style of its own, and a table that says the same."""

from collections.abc import Sequence
from typing import Any, Final

HEIGHT: Final = 60
WIDTH_OF_BAR: Final = 10
GAP: Final = 2


def chart_of(title: str, days: Sequence[Any]) -> dict[str, Any]:
    """Return what chart.html draws of days, each with `requests` and those of them `limited`.

    Bars are (day, place, the two heights); they hang from 0.
    """
    most = max(day.requests for day in days)
    return {
        "title": title,
        "days": days,
        "most": most,
        "total": sum(day.requests for day in days),
        "refused": sum(day.limited for day in days),
        "width": len(days) * (WIDTH_OF_BAR + GAP) - GAP,
        "width_of_bar": WIDTH_OF_BAR,
        "height": HEIGHT,
        "bars": [
            # A day with a single request still shows.
            (
                day,
                place * (WIDTH_OF_BAR + GAP),
                *(n and max(1.0, round(HEIGHT * n / most, 1)) for n in (day.requests, day.limited)),
            )
            for place, day in enumerate(days)
        ],
    }
