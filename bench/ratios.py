"""Medians with their range, and ratios that are taken inside a round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import Run

Rounds = Sequence[Mapping[str, Run]]  # For each round, every variant's run.


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> "Spread":
        found = sorted(figures)
        return cls(median(found), found[0], found[-1])

    def as_dict(self) -> dict[str, float]:
        return {name: round(getattr(self, name), 4) for name in ("median", "low", "high")}


def speed(rounds: Rounds, name: str) -> Spread:
    """Return a variant's requests a second."""
    return Spread.of(one[name].requests_a_second for one in rounds)


def ratio(rounds: Rounds, name: str, other: str) -> Spread:
    """Return how many times as fast as another a variant is; what slows a round, slows both."""
    return Spread.of(one[name].requests_a_second / one[other].requests_a_second for one in rounds)
