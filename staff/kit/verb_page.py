"""A page that says what a verb will do, asks what the verb needs, and calls it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views import View

from audit.actor import Actor
from staff.kit.lists import PlainList, ReadOnlyAdmin, staff_of
from staff.login.proof import proved
from web.errors.refusals import Refusal


class ReasonForm(forms.Form):
    """Why: kept in the audit log."""

    reason = forms.CharField(
        max_length=200,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Kept in the audit log, never shown to customers. No secrets or personal data.",
    )


class VerbPage(ABC, View):
    """One verb of one row. Django makes an instance a request, so it may keep what it found.

    Without `permission` the page is refused as well as the button. A refusal is shown on the
    form, a stale tab is told so, and Django's history is written in the verb's transaction.
    """

    slug: ClassVar[str]
    label: ClassVar[str]
    permission: ClassVar[str]
    destructive: ClassVar[bool] = False
    takes_recent_password: ClassVar[bool] = False
    form_class: ClassVar[type[forms.Form]] = ReasonForm
    template_name: ClassVar[str] = "admin/verb.html"
    consequence: ClassVar[str] = ""  # What the verb will do.
    # What a stale tab is told; {} is the row.
    too_late: ClassVar[str] = "{} has changed meanwhile: there is nothing left to do"

    model_admin: PlainList = None  # type: ignore[assignment]
    obj: Any

    @classmethod
    def is_for(cls, user: Any) -> bool:
        """Return True if this member of staff may call the verb."""
        return bool(user.has_perm(cls.permission))

    @classmethod
    def applies_to(cls, obj: Any) -> bool:  # noqa: ARG003
        """Return True if the verb can do anything to this row."""
        return True

    def says(self) -> list[str]:
        """Return what the verb will do, a paragraph each."""
        return [self.consequence] if self.consequence else []

    def asks(self, data: Any = None) -> forms.Form:
        """Return the form, filled in with `data`."""
        return self.form_class(data)

    @abstractmethod
    def carry_out(self, fields: dict[str, Any]) -> HttpResponse | None:
        """Call the verb and answer, with `changed` as a rule. Return None if it came too late.

        Raises Refusal.
        """

    @property
    def actor(self) -> Actor:
        return staff_of(self.request)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.is_for(request.user):
            raise PermissionDenied
        self.is_proved = not self.takes_recent_password or proved(request)
        self.obj = self.model_admin.get_object(request, unquote(kwargs.pop("object_id")))
        if self.obj is None:
            return missing(request, self.model_admin)
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page(self.asks()) if self.applies_to(self.obj) else self.unchanged()

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self.asks(request.POST)
        if form.is_valid() and self.is_proved:
            try:
                with transaction.atomic():
                    return self.carry_out(form.cleaned_data) or self.unchanged()
            except Refusal as refusal:
                self.show(refusal, form)
        return self.page(form)

    def show(self, refusal: Refusal, form: forms.Form) -> None:
        """Put a refusal beside its field, or over the form."""
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)

    def page(self, form: forms.Form, **context: Any) -> HttpResponse:
        context = {
            "original": self.obj,
            "title": f"{self.label}: {self.obj}",
            "verb": self,
            "form": form,
            "back": self.model_admin.page_url(self.obj),
            **context,
        }
        return render(self.request, self.model_admin, self.template_name, **context)

    def changed(self, message: str, *, history: str) -> HttpResponse:
        """Lead back to the row, saying what was done; write it into Django's history."""
        self.model_admin.log_change(self.request, self.obj, history)
        messages.success(self.request, message)
        return HttpResponseRedirect(self.model_admin.page_url(self.obj))

    def unchanged(self, message: str = "") -> HttpResponse:
        """Lead back to the row, saying why nothing was done."""
        said = message or self.too_late.format(self.obj)
        messages.warning(self.request, f"{said}; nothing changed.")
        return HttpResponseRedirect(self.model_admin.page_url(self.obj))


class VerbAdmin(ReadOnlyAdmin):
    """Shows each row on a page of our own, and changes it through verbs: each a page, too.

    Subclasses say what their page shows: `page_template`, and `facts` of the row.
    """

    verbs: ClassVar[tuple[type[VerbPage], ...]] = ()
    page_template: ClassVar[str]

    def facts(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return what the page's template shows besides the row itself."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        return [*verb_urls(self, self.verbs), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the row and its buttons; nothing is changed here. Raises PermissionDenied."""
        obj = self.get_object(request, unquote(object_id))
        if request.method != "GET" or not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            return missing(request, self)
        buttons = [
            (verb, self.page_url(obj, verb.slug))
            for verb in self.verbs
            if verb.is_for(request.user) and verb.applies_to(obj)
        ]
        context = {
            "title": str(obj),
            "original": obj,
            "buttons": buttons,
            "history_url": self.page_url(obj, "history"),
            **self.facts(request, obj),
        }
        return render(request, self, self.page_template, **context)


def verb_urls(model_admin: PlainList, verbs: Iterable[type[VerbPage]]) -> list[URLPattern]:
    """Return the addresses of the pages of these verbs."""
    return [
        path(
            f"<path:object_id>/{verb.slug}/",
            model_admin.admin_site.admin_view(verb.as_view(model_admin=model_admin)),
            name=f"{model_admin.url_name}_{verb.slug}",
        )
        for verb in verbs
    ]


def render(
    request: HttpRequest, model_admin: PlainList, template: str, **context: Any
) -> TemplateResponse:
    """Return a page of the admin that no cache keeps."""
    site = model_admin.admin_site.each_context(request)
    response = TemplateResponse(request, template, {**site, "opts": model_admin.opts, **context})
    response["Cache-Control"] = "no-store"
    return response


def missing(request: HttpRequest, model_admin: PlainList) -> HttpResponse:
    """Lead to the list, saying that there is no such row."""
    messages.warning(request, "There is no such row; it was never stored here.")
    return HttpResponseRedirect(model_admin.list_url())
