"""Who may do what in the admin: the groups of staff and their rights, in this one place.

Stands here because it names keys, which `accounts` knows nothing of.
"""

from typing import Any, Final

# By model, the codenames of rights.
Rights = dict[str, tuple[str, ...]]

LOOK: Final[Rights] = {
    "audit.auditevent": ("view_auditevent",),
    "accounts.organization": ("view_organization",),
    "accounts.plan": ("view_plan",),
    "apikeys.apikey": ("view_apikey",),
}
# What each group has besides.
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
    """Make the groups with their rights, or give those that are there what they lack.

    `apps` are Django's, or those of a migration. The rows of rights are made, too: Django would
    make them after the last migration only, and takes those it finds for its own.
    """
    group_model = apps.get_model("auth", "Group")
    for name, own in GROUPS.items():
        group, _ = group_model.objects.get_or_create(name=name)
        for rights in (LOOK, own):
            for model, codenames in rights.items():
                group.permissions.add(*(_permission(apps, model, name) for name in codenames))


def _permission(apps: Any, model_label: str, codename: str) -> Any:
    model = apps.get_model(model_label)
    options = model._meta
    app_label, model_name = options.app_label, options.model_name
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app_label, model=model_name
    )
    verb = codename.removesuffix(f"_{model_name}")
    name = dict(options.permissions).get(codename, f"Can {verb} {options.verbose_name_raw}")
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename=codename, defaults={"name": name}
    )
    return permission
