from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who our customers are and what they bought."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Add to Django's own log-in and models what they lack, once they are loaded."""
        import_module("accounts.security")
