from accounts.models.audit import Actor, AuditEvent, AuditHead, AuditLog
from accounts.models.audit_check import AuditCheck
from accounts.models.organization import Organization
from accounts.models.plan import Plan
from accounts.models.rate_window import RateWindow
from accounts.models.usage import Meter, Usage
from accounts.models.user import User

__all__ = [
    "Actor",
    "AuditCheck",
    "AuditEvent",
    "AuditHead",
    "AuditLog",
    "Meter",
    "Organization",
    "Plan",
    "RateWindow",
    "Usage",
    "User",
]
