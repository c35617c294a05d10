"""How much of its plan a customer has used, as bars."""

from dataclasses import dataclass

from django.utils import timezone

from accounts.models import Meter, Organization
from accounts.models.near_limit import NEAR_PERCENT
from accounts.models.usage import used_now


@dataclass(frozen=True)
class UsageBar:
    """One meter in one mode; no limit is None."""

    mode: str
    meter: str
    used: int
    limit: int | None

    @property
    def percent(self) -> int | None:
        return round(100 * self.used / self.limit) if self.limit else None

    @property
    def is_near(self) -> bool:
        return self.percent is not None and self.percent >= NEAR_PERCENT


def usage_of(organization: Organization) -> list[UsageBar]:
    """Return the bars of both modes; the sandbox is counted and never limited. Two queries."""
    plan, bars = organization.plan, []
    limits = {
        Meter.TESTS: organization.tests_limit,
        Meter.DOMAINS: organization.domains_limit,
    }
    plans = {Meter.TESTS: plan.tests_limit, Meter.DOMAINS: plan.domains_limit}
    for mode in ("live", "test"):
        used = used_now(
            organization.pk,
            livemode=mode == "live",
            tests_renew=plan.tests_renew,
            now=timezone.now(),
        )
        for meter, count in used.items():
            own = limits[meter]
            limit = (plans[meter] if own is None else own) if mode == "live" else None
            bars.append(UsageBar(mode, meter.value, count, limit))
    return bars
