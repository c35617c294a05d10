"""The groups of staff and their permissions."""

from typing import Any, Final

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions

# Codenames of permissions. Each group has LOOK, too.
LOOK: Final = ("view_auditevent", "view_organization", "view_plan", "view_apikey", "view_delivery")
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Key managers": ("issue_apikey", "narrow_apikey", "revoke_apikey", "rotate_apikey"),
    "Account managers": (
        "add_organization",
        "change_organization",
        "change_organization_plan",
        "suspend_organization",
    ),
    "Auditors": ("export_auditevent", "view_user", "view_group"),
}


def make_groups(apps: Any) -> None:
    """Create missing groups, and add missing permissions to the others. `apps` is a registry."""
    # Django creates the rows of permissions only after the last migration.
    for label in ("accounts", "apikeys", "audit", "auth", "notices", "staff"):
        create_permissions(installed.get_app_config(label), verbosity=0, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects
    for name, own in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(*permissions.filter(codename__in=LOOK + own))
