"""Accounts and groups of staff in the admin: superusers change them, and every right is recorded.

Each change begins with the lock of the service's own audit log, as every verb does, inside the
transaction that the admin opens: what is recorded as before and after was so.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any, Final, cast

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import URLPattern
from django_otp.plugins.otp_totp import admin as _  # noqa: F401 - registers
from django_otp.plugins.otp_totp.models import TOTPDevice

from audit.models import SERVICE, AuditLog
from staff.groups import GROUPS, LOOK
from staff.kit.lists import PlainList, staff_of
from staff.kit.search import Folded, holds
from staff.kit.verb_page import VerbPage, verb_urls
from staff.login.factors import reset
from staff.login.failures import record_new_password
from staff.login.proof import proof_asked, proved
from staff.models import User

NAMES: Final = Folded("username", "first_name", "last_name", "email")
Changes = dict[str, tuple[Any, Any]]

# Django makes rights of every table, sessions included; these are the ones that pages ask for.
OFFERED: Final = set(chain(*(chain(*rights.values()) for rights in (LOOK, *GROUPS.values()))))


def differences(before: dict[str, Any], after: dict[str, Any]) -> Changes:
    """Return field: (before, after) of what differs; None stands for what was not there."""
    pairs = {name: (before.get(name), after.get(name)) for name in {**before, **after}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class ResetSecondFactor(VerbPage):
    """Take the second factor of somebody who lost it away."""

    slug = "reset_second_factor"
    label = "Reset second factor"
    takes_recent_password = True
    consequence = (
        "Make sure, by voice or in person, that it is really they who ask. "
        "Their sessions end, and they must set up a new one at their next log-in."
    )
    is_locked = False

    @classmethod
    def is_for(cls, user: Any) -> bool:
        return bool(user.is_superuser)

    def carry_out(self, fields: dict[str, Any]) -> str:
        if reset(self.obj, actor=self.actor, **fields):
            return f"The second factor of {self.obj} is reset."
        return f"{self.obj} had no second factor. All sessions have ended."


class OnlySuperusersChange(PlainList):
    """Who may edit accounts or groups could give themselves every right, so nobody else may."""

    noun: str  # Of the events.
    rights: Callable[[Any], dict[str, Any]]  # What a row may do, to be compared.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return cast(User, request.user).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return cast(User, request.user).is_superuser

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return Django's form, which is valid with the proof only."""
        form_class: Any = super().get_form(request, *args, **kwargs)
        is_proved = self.has_change_permission(request) and proved(request)

        class ProvedForm(form_class):  # type: ignore[misc]
            def is_valid(self) -> bool:
                return super().is_valid() and is_proved

        return ProvedForm

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.remote_field.model is Permission:
            kwargs["queryset"] = Permission.objects.filter(codename__in=OFFERED)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_actions(self, request: HttpRequest) -> Any:
        """Offer none: a list is no place for such changes."""
        return {}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Lock, remember the rights from before, save."""
        with AuditLog.of(SERVICE):  # Held until the admin's own transaction ends.
            form.rights_before = self.rights(obj)
            super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save groups and permissions, and record what is different now."""
        super().save_related(request, form, formsets, change)
        changes = differences(form.rights_before, self.rights(form.instance))
        if changes:
            self.record("changed" if change else "created", request, form.instance, changes)

    def record(self, done: str, request: HttpRequest, obj: Any, changes: Changes) -> None:
        """Write the event into the service's own log."""
        with AuditLog.of(SERVICE) as audit:
            audit.record(f"{self.noun}.{done}", obj, actor=staff_of(request), changes=changes)


class StaffAdmin(OnlySuperusersChange, UserAdmin):  # type: ignore[type-arg]
    """Accounts: made, changed and disabled, never deleted."""

    noun = "staff"
    list_display = ("username", "is_active", "is_staff", "is_superuser", "last_login")
    finds = staticmethod(lambda rows, text: rows.alias(words=NAMES).filter(holds(text, "words")))
    # Times are facts; as fields they have no labels that a screen reader finds, nor has Django's
    # box for choosing out of many.
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "sso_name", "password")}),
        *(UserAdmin.fieldsets or ())[1:],
    )
    # Without Django's choice of no password, which speaks of LDAP.
    add_form = UserCreationForm
    add_fieldsets = ((None, {"fields": ("username", "is_staff", "password1", "password2")}),)

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        """Take a new account for one of staff: others have no use here."""
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show nothing of the password's hash to those who only look."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return fieldsets
        return [(None, {"fields": ("username", "sso_name")}), *fieldsets[1:]]

    def rights(self, obj: Any) -> dict[str, Any]:
        return cast(User, obj).rights()

    def record(self, done: str, request: HttpRequest, obj: Any, changes: Changes) -> None:
        """Record it; an account that is shut out loses its factors and sessions."""
        super().record(done, request, obj, changes)
        if (True, False) in (changes.get("is_active"), changes.get("is_staff")):
            reset(obj, actor=staff_of(request), reason="The account was shut out.")

    def get_urls(self) -> list[URLPattern]:
        return [*verb_urls(self, [ResetSecondFactor]), *super().get_urls()]

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Set somebody's password, which ends their sessions, and record that it was set."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        if (asked := proof_asked(request, "Change password")) is not None:
            return asked
        with AuditLog.of(SERVICE):
            response = super().user_change_password(request, *args, **kwargs)
            if isinstance(response, HttpResponseRedirect):
                record_new_password(User.objects.get(pk=kwargs["id"]), actor=staff_of(request))
        return response


class StaffGroupAdmin(OnlySuperusersChange, GroupAdmin):
    """Groups: whoever deletes one takes its rights from its members, so that is recorded."""

    filter_horizontal = ()
    noun = "group"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return cast(User, request.user).is_superuser

    def rights(self, obj: Any) -> dict[str, Any]:
        """Return what members of the group may, as it is stored now; empty if it is not stored."""
        stored = Group.objects.filter(pk=obj.pk).first()
        if stored is None:
            return {}
        permissions = stored.permissions.values_list("content_type__app_label", "codename")
        names = sorted(f"{app}.{codename}" for app, codename in permissions)
        return {"name": stored.name, "permissions": names}

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        asked = proof_asked(request, "Delete group")
        return asked or super().delete_view(request, *args, **kwargs)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with AuditLog.of(SERVICE):
            members = sorted(obj.user_set.values_list("username", flat=True))
            changes = differences({**self.rights(obj), "members": members}, {})
            self.record("deleted", request, obj, changes)
            super().delete_model(request, obj)


admin.site.unregister(TOTPDevice)  # That shows everybody's secrets.
admin.site.register(User, StaffAdmin)
admin.site.unregister(Group)
admin.site.register(Group, StaffGroupAdmin)
