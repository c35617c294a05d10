from notices.models.contact import Contact
from notices.models.delivery import Delivery
from notices.models.key_note import KeyNote
from notices.models.lane import Lane
from notices.models.leak_report import LeakReport, ReportWindow

__all__ = ["Contact", "Delivery", "KeyNote", "Lane", "LeakReport", "ReportWindow"]
