from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Customers, their plans and their usage."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"
