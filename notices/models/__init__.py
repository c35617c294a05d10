from notices.models.contact import Contact
from notices.models.delivery import Delivery

__all__ = ["Contact", "Delivery"]
