"""A page that says what a verb will do, asks what the verb needs, and calls it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views import View

from audit.actor import Actor
from audit.models import SERVICE, AuditEvent, AuditLog
from staff.kit.forms import ReasonForm, show_refusal
from staff.kit.lists import PlainList, ReadOnlyAdmin, staff_of
from staff.login.proof import proved
from web.errors.refusals import Refusal
from web.input.moments import format_moment


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
    # Optimistic lock: refuse the form if anything was done to the row after the page was opened.
    # Off for what only ends things: in an emergency it must not fail by a colleague's click.
    is_locked: ClassVar[bool] = True
    form_class: ClassVar[type[forms.Form]] = ReasonForm
    template_name: ClassVar[str] = "admin/verb.html"
    consequence: ClassVar[str] = ""  # What the verb will do.

    model_admin: PlainList = None  # type: ignore[assignment]
    obj: Any
    form: forms.Form
    seen: str  # The last event of the row, by its id, when the page was opened.

    @classmethod
    def is_for(cls, user: Any) -> bool:
        """Return True if this member of staff may call the verb."""
        return bool(user.has_perm(cls.permission))

    @classmethod
    def obstacle(cls, obj: Any) -> str:  # noqa: ARG003
        """Return why the verb can do nothing to this row, to be read after its name; or ""."""
        return ""

    def says(self) -> list[str]:
        """Return what the verb will do, a paragraph each."""
        return [self.consequence] if self.consequence else []

    def asks(self, data: Any = None) -> forms.Form:
        """Return the form, filled in with `data`, or else with what the row has of its fields."""
        names = [name for name in self.form_class.base_fields if hasattr(self.obj, name)]
        return self.form_class(data, initial={name: getattr(self.obj, name) for name in names})

    @abstractmethod
    def carry_out(self, fields: dict[str, Any]) -> str | HttpResponse:
        """Call the verb; return a sentence on what was done, or an answer that shows it.

        Return "" if nothing was to be done. Raises Refusal.
        """

    @property
    def actor(self) -> Actor:
        return staff_of(self.request)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.is_for(request.user):
            raise PermissionDenied
        self.is_proved = not self.takes_recent_password or proved(request)
        object_id = unquote(kwargs.pop("object_id"))
        # Read before the row, so that no page shows less than it says that it has seen.
        last = last_event(object_id)
        self.seen = last.pk if last else ""
        self.obj = self.model_admin.get_object(request, object_id)
        if self.obj is None:
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.unchanged() if self.obstacle(self.obj) else self.page(self.asks())

    def post(self, request: HttpRequest) -> HttpResponse:
        if not self.is_locked:
            return self.sent(request)
        # Under the lock of the verb, which no other verb can hold between this look and the change.
        with AuditLog.of(getattr(self.obj, "organization_id", self.obj.pk)):
            self.obj.refresh_from_db()
            if self.obstacle(self.obj):
                return self.unchanged()
            last = last_event(self.obj.pk)
            if request.POST.get("seen") != (last.pk if last else ""):
                return self.unchanged("was changed after that page was opened")
            return self.sent(request)

    def sent(self, request: HttpRequest) -> HttpResponse:
        """Carry the verb out if the form is valid; show the form again if not."""
        self.form = self.asks(request.POST)
        if self.form.is_valid() and self.is_proved:
            fields = self.form.cleaned_data
            history = f"{self.label}: {fields['reason']}"
            try:
                with transaction.atomic():
                    if not (done := self.carry_out(fields)):
                        return self.unchanged()
                    self.model_admin.log_change(request, self.obj, history)
            except Refusal as refusal:
                show_refusal(refusal, self.form)
            else:
                if isinstance(done, HttpResponse):
                    return done
                messages.success(request, done)
                return HttpResponseRedirect(self.model_admin.page_url(self.obj))
        return self.page(self.form)

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

    def unchanged(self, why: str = "") -> HttpResponse:
        """Lead back to the row, saying why nothing was done, and what was done last."""
        why = why or self.obstacle(self.obj) or "is like this already"
        said = f"{self.obj} {why}; nothing changed."
        last = last_event(self.obj.pk)
        if last and self.request.user.has_perm("audit.view_auditevent"):
            at = format_moment(last.created_at)
            said += f" Its last event: {last.action} by {last.actor}, {at}."
        messages.warning(self.request, said)
        return HttpResponseRedirect(self.model_admin.page_url(self.obj))


def last_event(target_id: object) -> AuditEvent | None:
    """Return the last event in an organization's log that is about this row."""
    events = AuditEvent.objects.filter(target_id=target_id).exclude(organization_id=SERVICE)
    return events.order_by("-sequence").first()


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

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Show the row and its buttons; nothing is changed here."""
        obj = self.get_object(request, unquote(object_id))
        if request.method != "GET" or not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            raise Http404
        buttons = [
            (verb, self.page_url(obj, verb.slug))
            for verb in self.verbs
            if verb.is_for(request.user) and not verb.obstacle(obj)
        ]
        context = {
            "title": str(obj),
            "original": obj,
            "buttons": buttons,
            "history_url": self.page_url(obj, "history"),
            **self.facts(request, obj),
        }
        return render(request, self, self.page_template, **context)


def verb_urls(
    model_admin: PlainList,
    pages: Iterable[Any],
    route: str = "<path:object_id>/{}/",
    prefix: str = "",
) -> list[URLPattern]:
    """Return the addresses of the pages of these verbs."""
    return [
        path(
            route.format(page.slug),
            model_admin.admin_site.admin_view(page.as_view(model_admin=model_admin)),
            name=f"{model_admin.url_name}_{prefix}{page.slug}",
        )
        for page in pages
    ]


def render(
    request: HttpRequest, model_admin: PlainList, template: str, **context: Any
) -> TemplateResponse:
    """Return a page of the admin that no cache keeps."""
    site = model_admin.admin_site.each_context(request)
    response = TemplateResponse(request, template, {**site, "opts": model_admin.opts, **context})
    response["Cache-Control"] = "no-store"
    return response
