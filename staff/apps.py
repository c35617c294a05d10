from typing import Any

from django.apps import AppConfig, apps
from django.contrib.admin import apps as admin_apps

from web.input.text import refuse_key

NAMES = ("username", "sso_name", "first_name", "last_name", "email")


class StaffConfig(AppConfig):
    """Everything that staff see: their log-in, and the pages of the admin."""

    name = "staff"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Refuse API keys in names. Most fields are Django's, and no verb of ours checks them."""
        fields = (("auth.Group", "name"), *(("staff.User", name) for name in NAMES))
        for model, name in fields:
            field: Any = apps.get_model(model)._meta.get_field(name)
            field.validators.append(refuse_key)


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin on the site of ours."""

    default = False
    default_site = "staff.login.site.StaffSite"
