from importlib import import_module

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class StaffConfig(AppConfig):
    """Everything that staff see: their log-in, and the pages of the admin."""

    name = "staff"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Add to Django's own log-in and models what they lack, once they are loaded."""
        import_module("staff.login.account_events")


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin on the site of ours."""

    default = False
    default_site = "staff.login.site.StaffSite"
