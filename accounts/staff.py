"""What our admin pages share: rows are read there, and changed through verbs only."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from reachscore.api.refusals import Refusal


class ReasonForm(forms.Form):
    """Why: kept in the audit log."""

    reason = forms.CharField(
        max_length=200,
        widget=forms.TextInput(attrs={"class": "vTextField", "autofocus": True}),
        help_text="Kept in the audit log. Do not put secrets or personal data here.",
    )


def may(request: HttpRequest, permission: str) -> bool:
    """Tell whether who is logged in has this right, such as `apikeys.revoke_apikey`."""
    return request.user.has_perm(permission)


if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(AnyModelAdmin):
    """Shows rows and changes none."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class VerbAdmin(ReadOnlyAdmin):
    """Shows rows, and changes them through verbs: each a page that says what it will do."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return AnyModelAdmin.has_add_permission(self, request)

    def confirm_verb(
        self,
        request: HttpRequest,
        object_id: str,
        *,
        permission: str,
        verb: str,
        consequence: str,
        call: Callable[[Any, str], bool],
        done: str,
        done_before: str,
    ) -> HttpResponse:
        """Ask for a reason, then `call(object, reason)`, which tells whether it changed something.

        A refusal is shown on the form; a stale tab that changes nothing is told so.

        Raises PermissionDenied, on the form as on the button behind it, without `permission`.
        """
        if not may(request, permission):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            messages.warning(request, "There is no such row; it was never stored here.")
            return HttpResponseRedirect(self._list_url())
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            try:
                changed = call(obj, form.cleaned_data["reason"])
            except Refusal as refusal:
                form.add_error("reason", refusal.message)
            else:
                if changed:
                    self.log_change(request, obj, f"{verb}: {form.cleaned_data['reason']}")
                    messages.success(request, done.format(obj))
                else:
                    messages.warning(request, done_before.format(obj))
                return HttpResponseRedirect(self._page_url(obj))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "title": f"{verb} {obj}",
            "verb": verb,
            "consequence": consequence,
            "form": form,
            "back": self._page_url(obj),
        }
        return TemplateResponse(request, "admin/confirm_verb.html", context)

    def _page_url(self, obj: models.Model) -> str:
        return reverse(f"admin:{self._url_name()}_change", args=[quote(obj.pk)])

    def _list_url(self) -> str:
        return reverse(f"admin:{self._url_name()}_changelist")

    def _url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"
