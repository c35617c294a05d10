from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who our customers are and what they bought."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"
