from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A member of staff. Customers have no users here: they have an organization and its keys."""
