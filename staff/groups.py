"""The groups of staff and their permissions."""

from itertools import chain
from typing import Any, Final

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions

# Codenames of permissions, by model.
Rights = dict[str, tuple[str, ...]]

LOOK: Final[Rights] = {
    "audit.auditevent": ("view_auditevent",),
    "accounts.organization": ("view_organization",),
    "accounts.plan": ("view_plan",),
    "apikeys.apikey": ("view_apikey",),
}
# The permissions of each group besides LOOK.
GROUPS: Final[dict[str, Rights]] = {
    "Key managers": {
        "apikeys.apikey": ("issue_apikey", "narrow_apikey", "revoke_apikey", "rotate_apikey"),
    },
    "Account managers": {
        "accounts.organization": (
            "add_organization",
            "change_organization",
            "change_organization_plan",
            "suspend_organization",
        )
    },
    "Auditors": {
        "audit.auditevent": ("export_auditevent",),
        "staff.user": ("view_user",),
        "auth.group": ("view_group",),
    },
}


def make_groups(apps: Any) -> None:
    """Create missing groups, and add missing permissions to the others.

    `apps` is Django's registry or a migration's. Also creates the rows of permissions, which Django
    creates only after the last migration.
    """
    for label in ("accounts", "apikeys", "audit", "auth", "staff"):
        create_permissions(installed.get_app_config(label), verbosity=0, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects
    for name, own in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        for rights in (LOOK, own):
            group.permissions.add(*permissions.filter(codename__in=chain(*rights.values())))
