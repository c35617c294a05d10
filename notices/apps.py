from django.apps import AppConfig


class NoticesConfig(AppConfig):
    """Reports of leaked keys, and what the contacts of organizations are told."""

    name = "notices"
    default_auto_field = "django.db.models.BigAutoField"
