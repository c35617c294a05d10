from accounts.models.organization import OnLeak, Organization
from accounts.models.plan import Plan
from accounts.models.usage import Meter, RateWindow, Usage

__all__ = ["Meter", "OnLeak", "Organization", "Plan", "RateWindow", "Usage"]
