"""The plans of the contract. A migration inserts them."""

from typing import Any, Final

_COLUMNS: Final = (
    "slug",
    "name",
    "requests_per_minute",
    "tests_limit",
    "tests_renew",
    "domains_limit",
    "price_cents",
)
_ROWS: Final = (
    ("free", "Free", 20, 25, False, 1, 0),
    ("starter", "Starter", 60, 250, True, 3, 4900),
    ("team", "Team", 120, 1000, True, 10, 9900),
    ("business", "Business", 300, 7500, True, 50, 24900),
    # Custom: null limits are unlimited, and the price is agreed on.
    ("enterprise", "Enterprise", None, None, True, None, None),
)
PLANS: Final[list[dict[str, Any]]] = [dict(zip(_COLUMNS, row, strict=True)) for row in _ROWS]
