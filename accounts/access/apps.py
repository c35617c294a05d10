from django.contrib.admin.apps import AdminConfig


class StaffAdminConfig(AdminConfig):
    """Django's admin on the site of ours."""

    default_site = "accounts.access.site.StaffSite"
