"""A plan: the limits that an organization bought."""

from typing import Any, Final, Self

from django.db import models

from web.errors.refusals import ParameterInvalid
from web.input.text import did_you_mean

# The plans of the contract, which a migration inserts.
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


class Plan(models.Model):
    """What an organization can buy. A null limit means unlimited."""

    slug = models.SlugField(primary_key=True)
    name = models.CharField(max_length=50)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tests_limit = models.PositiveIntegerField("tests", null=True, blank=True)
    tests_renew = models.BooleanField(
        "tests renew monthly",
        default=True,
        help_text="Off: the tests are granted once, not every calendar month (UTC).",
    )
    domains_limit = models.PositiveIntegerField("domains", null=True, blank=True)
    active_keys_limit = models.PositiveIntegerField(
        "active keys",
        null=True,
        blank=True,
        default=100,
        help_text="In each mode; revoked and expired ones do not count.",
    )
    price_cents = models.PositiveIntegerField("price, cents a month", null=True, blank=True)

    class Meta:
        ordering = ["price_cents"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def find(cls, slug: str) -> Self:
        """Return the plan with this slug. Raise ParameterInvalid, naming all, if there is none."""
        plans = {plan.slug: plan for plan in cls.objects.all()}
        if slug not in plans:
            hint = did_you_mean(slug, plans)
            message = f"There is no such plan.{hint} Plans: {', '.join(plans)}."
            raise ParameterInvalid(message, field="plan")
        return plans[slug]
