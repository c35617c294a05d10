"""The plans of the contract, as the first migration puts them into the table."""

from typing import Final

PLANS: Final[tuple[dict[str, object], ...]] = (
    {
        "slug": "free",
        "name": "Free",
        "requests_per_minute": 20,
        "tests_limit": 25,
        "tests_renew": False,
        "domains_limit": 1,
        "price_cents": 0,
    },
    {
        "slug": "starter",
        "name": "Starter",
        "requests_per_minute": 60,
        "tests_limit": 250,
        "domains_limit": 3,
        "price_cents": 4900,
    },
    {
        "slug": "team",
        "name": "Team",
        "requests_per_minute": 120,
        "tests_limit": 1000,
        "domains_limit": 10,
        "price_cents": 9900,
    },
    {
        "slug": "business",
        "name": "Business",
        "requests_per_minute": 300,
        "tests_limit": 7500,
        "domains_limit": 50,
        "price_cents": 24900,
    },
    # Custom: unlimited, and no price of its own.
    {"slug": "enterprise", "name": "Enterprise"},
)
