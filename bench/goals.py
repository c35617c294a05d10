"""How fast it is to be: ours as a multiple of others, from the issue that asked for this."""

from dataclasses import dataclass
from typing import Any, Final

from bench.ratios import Spread
from bench.variants import BY_THE_BOOK, FLOOR, MALFORMED, OURS


@dataclass(frozen=True)
class Goal:
    """`ours` is to answer this many times as many requests a second as `other`."""

    other: str
    at_least: float
    aim: float
    ours: str = OURS

    def judge(self, measured: Spread) -> dict[str, Any]:
        """Return the goal with what was measured; it is met by the median."""
        met = "no"
        if measured.median >= self.at_least:
            met = "aim" if measured.median >= self.aim else "yes"
        return {
            "ours": self.ours,
            "against": self.other,
            "at_least": self.at_least,
            "aim": self.aim,
            "measured": measured.as_dict(),
            "met": met,
        }


MORE_KEYS: Final = Goal("10,000 keys", 0.95, 1.0, ours="1,000,000 keys")
GOALS: Final = (
    Goal("djangorestframework-api-key", 2.5, 3.5),
    Goal("django-rest-knox", 3, 4.5),
    Goal("authtoken, joined", 1.6, 2.4),
    Goal("django-ninja", 1.5, 2.2),
    Goal(BY_THE_BOOK, 1.6, 2.2),
    Goal("djangorestframework-api-key + limits", 3, 5),
    Goal("django-rest-knox + limits", 3, 5),
    Goal("authtoken, joined + limits", 3, 5),
    Goal("django-ninja + limits", 3, 5),
    Goal(FLOOR, 0.35, 0.50),
    Goal(BY_THE_BOOK, 3, 4, ours=MALFORMED),
)
