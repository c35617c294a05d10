"""The figures of a bar chart of requests a day, which admin/chart.html draws without script."""

from collections.abc import Sequence
from typing import Any


def chart_of(title: str, days: Sequence[Any]) -> dict[str, Any]:
    """Return the context of chart.html. Each day has `requests`, and `limited` of these refused."""
    return {
        "title": title,
        "days": days,
        "most": max(day.requests for day in days),
        "total": sum(day.requests for day in days),
        "refused": sum(day.limited for day in days),
    }
