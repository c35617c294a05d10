"""Accounts and groups of staff. Each change takes the lock of the service's audit log first, inside
the admin's transaction, so that the event's values before and after are exact."""

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
from staff.login.proof import proof_asked, proved
from staff.models import User
from staff.models.user import names_of

NAMES: Final = Folded("username", "first_name", "last_name", "email")
NAME_AND_RIGHTS: Final = (UserAdmin.fieldsets or ())[1:]
Changes = dict[str, tuple[Any, Any]]

# The permissions that pages ask for. Django makes some for every table, sessions included.
OFFERED: Final = set(chain(LOOK, *GROUPS.values()))


def differences(before: dict[str, Any], after: dict[str, Any]) -> Changes:
    """Return {field: (before, after)} for the fields that differ. A missing value is None."""
    pairs = {name: (before.get(name), after.get(name)) for name in {**before, **after}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class ResetSecondFactor(VerbPage):
    """Remove all second factors of somebody who has lost one."""

    slug = "reset_second_factor"
    label = "Reset second factor"
    permission = "staff.superuser"  # No row has it, and superusers have every permission.
    takes_recent_password = True
    consequence = (
        "Make sure, by voice or in person, that it is really this person who asks. "
        "Their sessions end, and they must set up a new one at their next log-in."
    )
    is_locked = False

    def carry_out(self, fields: dict[str, Any]) -> str:
        if reset(self.obj, actor=self.actor, **fields):
            return f"The second factor of {self.obj} is reset."
        return f"{self.obj} had no second factor. All sessions have ended."


class OnlySuperusersChange(PlainList):
    """Only superusers may edit: anyone who may edit accounts or groups can take every right."""

    actions = None  # No changes from a list.
    filter_horizontal = ()  # That box has no label for screen readers.
    noun: str  # The first half of the events' actions.
    rights: Callable[[Any], dict[str, Any]]  # Returns the rights that a stored row gives.

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return cast(User, request.user).is_superuser

    has_add_permission = has_change_permission

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return Django's form, valid only if the user gave the proof."""
        form_class: Any = super().get_form(request, *args, **kwargs)
        is_proved = self.has_change_permission(request) and proved(request)

        class ProvedForm(form_class):  # type: ignore[misc]
            def is_valid(self) -> bool:
                is_valid = super().is_valid() and is_proved
                if not is_valid and self.instance.pk:  # The page's title names the stored row.
                    self.instance.refresh_from_db()
                return is_valid

        return ProvedForm

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.remote_field.model is Permission:
            kwargs["queryset"] = Permission.objects.filter(codename__in=OFFERED)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with AuditLog.of(SERVICE):  # Held until the admin's transaction ends.
            form.rights_before = self.rights(obj)
            # Only what was typed: the rest may have changed since the row was read.
            names = {field.name for field in obj._meta.concrete_fields}
            obj.save(update_fields=names.intersection(form.changed_data) if change else None)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if changes := differences(form.rights_before, self.rights(form.instance)):
            self.record("changed" if change else "created", request, form.instance, changes)

    def record(self, done: str, request: HttpRequest, obj: Any, changes: Changes) -> None:
        with AuditLog.of(SERVICE) as audit:
            audit.record(f"{self.noun}.{done}", obj, actor=staff_of(request), changes=changes)


class StaffAdmin(OnlySuperusersChange, UserAdmin):  # type: ignore[type-arg]
    """Accounts, which are added, changed and disabled, but never deleted."""

    noun = "staff"
    rights = staticmethod(User.rights)
    list_display = ("username", "is_active", "is_staff", "is_superuser", "last_login")
    finds = staticmethod(lambda rows, text: rows.alias(words=NAMES).filter(holds(text, "words")))
    readonly_fields = ("last_login", "date_joined")
    fieldsets = ((None, {"fields": ("username", "sso_name", "password")}), *NAME_AND_RIGHTS)
    # Django's own form offers "no password", with a text about LDAP.
    add_form = UserCreationForm
    add_fieldsets = ((None, {"fields": ("username", "is_staff", "password1", "password2")}),)

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        """Tick "Staff status" for a new account: others have no use here."""
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Hide the password's hash from users who may only view."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return fieldsets
        return [(None, {"fields": ("username", "sso_name")}), *fieldsets[1:]]

    def record(self, done: str, request: HttpRequest, obj: Any, changes: Changes) -> None:
        """Record the change. Remove the factors and sessions of an account that is shut out."""
        super().record(done, request, obj, changes)
        if (True, False) in (changes.get("is_active"), changes.get("is_staff")):
            reset(obj, actor=staff_of(request), reason="The account was shut out.")

    def get_urls(self) -> list[URLPattern]:
        return [*verb_urls(self, [ResetSecondFactor]), *super().get_urls()]

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Set a colleague's password, which ends their sessions, and record an event."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        if (asked := proof_asked(request, "Change password")) is not None:
            return asked
        with AuditLog.of(SERVICE):
            response = super().user_change_password(request, *args, **kwargs)
            if isinstance(response, HttpResponseRedirect):
                User.objects.get(pk=kwargs["id"]).record_new_password(actor=staff_of(request))
        return response


class StaffGroupAdmin(OnlySuperusersChange, GroupAdmin):
    """Groups. Deleting one takes its rights from its members, so that is an event, too."""

    noun = "group"
    has_delete_permission = OnlySuperusersChange.has_change_permission

    def rights(self, obj: Any) -> dict[str, Any]:
        """Return the group's name and permissions as stored, or {} if it is not stored."""
        if (stored := Group.objects.filter(pk=obj.pk).first()) is None:
            return {}
        return {"name": stored.name, "permissions": names_of(stored.permissions)}

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        asked = proof_asked(request, "Delete group")
        return asked or super().delete_view(request, *args, **kwargs)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with AuditLog.of(SERVICE):
            members = sorted(obj.user_set.values_list("username", flat=True))
            changes = differences({**self.rights(obj), "members": members}, {})
            self.record("deleted", request, obj, changes)
            super().delete_model(request, obj)


admin.site.unregister(TOTPDevice)  # Its pages show the secrets of all.
admin.site.register(User, StaffAdmin)
admin.site.unregister(Group)
admin.site.register(Group, StaffGroupAdmin)
