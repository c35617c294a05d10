"""A small bar chart, drawn here: no script, no style of its own, and a table that says the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

HEIGHT: Final = 60
WIDTH_OF_BAR: Final = 10
GAP: Final = 2


class Day(NamedTuple):
    """What was counted on one day in UTC; the refused ones are among the requests."""

    date: date
    requests: int
    refused: int


@dataclass(frozen=True)
class Chart:
    """The days in order, and what is said of them all."""

    title: str
    days: Sequence[Day]
    width_of_bar: int = WIDTH_OF_BAR
    height: int = HEIGHT

    @property
    def width(self) -> int:
        return max(1, len(self.days) * (WIDTH_OF_BAR + GAP) - GAP)

    @property
    def most(self) -> int:
        return max((day.requests for day in self.days), default=0)

    @property
    def total(self) -> int:
        return sum(day.requests for day in self.days)

    @property
    def refused(self) -> int:
        return sum(day.refused for day in self.days)

    @property
    def bars(self) -> Iterator[tuple[Day, int, float, float]]:
        """Yield each day with its place and the heights of its two bars, which hang upside down."""
        for place, day in enumerate(self.days):
            heights = self._height(day.requests), self._height(day.refused)
            yield day, place * (WIDTH_OF_BAR + GAP), *heights

    def _height(self, count: int) -> float:
        """A day with a single request still shows."""
        return max(1.0, round(HEIGHT * count / self.most, 1)) if count else 0.0
