"""A page that says what a verb will do, asks what the verb needs, and calls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.views import View

from accounts.access.proof import password_needed
from reachscore.api.refusals import Refusal

if TYPE_CHECKING:
    from accounts.staff.bases import VerbAdmin


class ReasonForm(forms.Form):
    """Why: kept in the audit log."""

    reason = forms.CharField(
        max_length=200,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Kept in the audit log, never shown to customers. No secrets or personal data.",
    )


class VerbPage(ABC, View):
    """One verb of one row. Django makes an instance a request, so it may keep what it found.

    Whoever lacks `permission` is refused the page as well as the button. A refusal is shown on the
    form, a stale tab is told so, and Django's history is written in the verb's transaction.
    """

    slug: ClassVar[str]
    label: ClassVar[str]
    permission: ClassVar[str]
    destructive: ClassVar[bool] = False
    takes_recent_password: ClassVar[bool] = False
    form_class: ClassVar[type[forms.Form]] = ReasonForm
    template_name: ClassVar[str] = "admin/verb.html"
    http_method_names = ("get", "post", "head")

    model_admin: VerbAdmin = None  # type: ignore[assignment]
    obj: Any

    @classmethod
    def applies_to(cls, obj: Any) -> bool:  # noqa: ARG003
        """Tell whether the verb can do anything to this row."""
        return True

    def says(self) -> list[str]:
        """Return what the verb will do, a paragraph each."""
        return []

    def asks(self, data: Any = None) -> forms.Form:
        """Return the form, filled in with `data`."""
        return self.form_class(data)

    @abstractmethod
    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        """Call the verb and answer, with `changed` or `unchanged` as a rule. Raises Refusal."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        if self.takes_recent_password and (asked := password_needed(request)) is not None:
            return asked
        self.obj = self.model_admin.get_object(request, self.unquoted(kwargs.pop("object_id")))
        if self.obj is None:
            return self.missing(request, self.model_admin)
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        if not self.applies_to(self.obj):
            return self.unchanged(self.too_late())
        return self.page(self.asks())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self.asks(request.POST)
        if form.is_valid():
            try:
                with transaction.atomic():
                    return self.carry_out(form.cleaned_data)
            except Refusal as refusal:
                self.show(refusal, form)
        return self.page(form)

    def show(self, refusal: Refusal, form: forms.Form) -> None:
        """Put a refusal beside its field, or over the form."""
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)

    def too_late(self) -> str:
        """Return what a stale tab is told."""
        return f"{self.obj} has changed meanwhile: there is nothing left to do. Nothing changed."

    def page(self, form: forms.Form, **context: Any) -> HttpResponse:
        return self.render(
            self.template_name,
            original=self.obj,
            title=f"{self.label}: {self.obj}",
            verb=self,
            form=form,
            back=self.model_admin.page_url(self.obj),
            **context,
        )

    def render(self, template_name: str, **context: Any) -> HttpResponse:
        """Return a page that no cache keeps."""
        site = self.model_admin.admin_site.each_context(self.request)
        whole = {**site, "opts": self.model_admin.opts, **context}
        response = TemplateResponse(self.request, template_name, whole)
        response["Cache-Control"] = "no-store"
        return response

    def changed(self, message: str, *, history: str) -> HttpResponse:
        """Lead back to the row, saying what was done; write it into Django's history."""
        self.model_admin.log_change(self.request, self.obj, history)
        messages.success(self.request, message)
        return HttpResponseRedirect(self.model_admin.page_url(self.obj))

    def unchanged(self, message: str) -> HttpResponse:
        """Lead back to the row, saying why nothing was done."""
        messages.warning(self.request, message)
        return HttpResponseRedirect(self.model_admin.page_url(self.obj))

    @staticmethod
    def unquoted(object_id: str) -> str:
        """Return the id that the admin wrote into an address in a way of its own."""
        return unquote(object_id)

    @staticmethod
    def missing(request: HttpRequest, model_admin: VerbAdmin) -> HttpResponse:
        """Lead to the list, saying that there is no such row."""
        messages.warning(request, "There is no such row; it was never stored here.")
        return HttpResponseRedirect(model_admin.list_url())
