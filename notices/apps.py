from django.apps import AppConfig


class NoticesConfig(AppConfig):
    """Reports of leaked keys, and what the contacts of organizations are told."""

    name = "notices"
