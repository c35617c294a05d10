from accounts.models.organization import Organization
from accounts.models.plan import Plan
from accounts.models.rate_window import RateWindow
from accounts.models.usage import Meter, Usage

__all__ = ["Meter", "Organization", "Plan", "RateWindow", "Usage"]
