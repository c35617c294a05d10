from accounts.models.audit import SERVICE, Actor, AuditEvent, AuditHead, AuditLog
from accounts.models.log_in_tries import LogInTries
from accounts.models.organization import Organization
from accounts.models.plan import Plan
from accounts.models.rate_window import RateWindow
from accounts.models.second_factor import RecoveryCode, SecondFactor
from accounts.models.usage import Meter, Usage
from accounts.models.user import User

__all__ = [
    "SERVICE",
    "Actor",
    "AuditEvent",
    "AuditHead",
    "AuditLog",
    "LogInTries",
    "Meter",
    "Organization",
    "Plan",
    "RateWindow",
    "RecoveryCode",
    "SecondFactor",
    "Usage",
    "User",
]
