from notices.models.contact import Contact
from notices.models.delivery import Delivery
from notices.models.lane import Lane

__all__ = ["Contact", "Delivery", "Lane"]
