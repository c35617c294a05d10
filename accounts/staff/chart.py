"""A small bar chart, drawn here: no script, no style of its own, and a table that says the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

HEIGHT: Final = 60
WIDTH_OF_BAR: Final = 10
GAP: Final = 2


@dataclass(frozen=True)
class Day:
    """What was counted on one day in UTC; the refused ones are among the requests."""

    date: date
    requests: int
    refused: int


@dataclass(frozen=True)
class Bar:
    """One day's place in the drawing; y grows downwards."""

    day: Day
    x: int
    height: float
    refused_height: float

    @property
    def y(self) -> float:
        return HEIGHT - self.height

    @property
    def refused_y(self) -> float:
        return HEIGHT - self.refused_height


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
    def bars(self) -> list[Bar]:
        return [
            Bar(
                day,
                x=place * (WIDTH_OF_BAR + GAP),
                height=self._height(day.requests),
                refused_height=self._height(day.refused),
            )
            for place, day in enumerate(self.days)
        ]

    def _height(self, count: int) -> float:
        """A day with a single request still shows."""
        return max(1.0, round(HEIGHT * count / self.most, 1)) if count else 0.0
