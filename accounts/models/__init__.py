from accounts.models.organization import Organization
from accounts.models.plan import Plan
from accounts.models.usage import Meter, RateWindow, Usage

__all__ = ["Meter", "Organization", "Plan", "RateWindow", "Usage"]
