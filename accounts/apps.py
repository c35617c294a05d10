from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who our customers are and what they bought."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen to what Django's log-in tells; its signals are the only way to hear of it."""
        import_module("accounts.security")
