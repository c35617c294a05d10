from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Customers, their plans and their usage."""

    name = "accounts"
