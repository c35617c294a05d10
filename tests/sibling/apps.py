from django.apps import AppConfig


class SiblingConfig(AppConfig):
    name = "tests.sibling"
    label = "sibling"
    default_auto_field = "django.db.models.BigAutoField"
