"""Pages of verbs: each says what its verb will do, has a form, and calls the verb."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms.models import model_to_dict
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views import View

from audit.models import SERVICE, AuditEvent, AuditLog
from staff.kit.forms import ReasonForm, show_refusal
from staff.kit.lists import PlainList, ReadOnlyAdmin, staff_of
from staff.login.pages import page
from staff.login.proof import proved
from web.errors.refusals import Refusal
from web.input.moments import format_moment


class FormPage(View):
    """A page of `verb_urls` that calls a verb. Its button and its page require `permission`."""

    slug: ClassVar[str]
    label: ClassVar[str]
    permission: ClassVar[str]
    destructive: ClassVar[bool] = False
    form_class: ClassVar[type[forms.Form]] = ReasonForm
    consequence: ClassVar[str]  # What the verb will do, for its page.

    model_admin: PlainList = None  # type: ignore[assignment]

    def shown(self, template: str, title: str, **context: Any) -> TemplateResponse:
        context |= {"title": f"{self.label}: {title}", "verb": self}
        return page(self.request, template, opts=self.model_admin.opts, **context)


class VerbPage(FormPage):
    """One verb of one row."""

    takes_recent_password: ClassVar[bool] = False
    # Optimistic lock: refuse the form if the row has changed since the page was opened.
    # Off for verbs that only end things: in an emergency no colleague's click may stop them.
    is_locked: ClassVar[bool] = True
    verb: ClassVar[Callable[..., bool]]  # Returns False if nothing changed.
    done: ClassVar[str]  # What the verb has done; {0} is the row.

    obj: Any
    form: forms.Form
    seen: str  # The id of the row's last event when the page was opened.

    @staticmethod
    def obstacle(obj: Any) -> str:  # noqa: ARG004
        """Return why the verb would change nothing, to be read after the row's name, else ""."""
        return ""

    def says(self) -> list[str]:
        """Return paragraphs on what the verb will do."""
        return [self.consequence]

    def asks(self, data: Any = None) -> forms.Form:
        """Return the form, bound to `data` if that is given. The row's values are initial."""
        return self.form_class(data, initial=model_to_dict(self.obj))

    def carry_out(self, fields: dict[str, Any]) -> str | HttpResponse:
        """Call the verb. Return what was done, as text or as a page, or "" if nothing changed."""
        return self.done.format(self.obj) if self.verb(self.obj, actor=self.actor, **fields) else ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.actor = staff_of(request)
        self.is_proved = not self.takes_recent_password or proved(request)
        object_id = unquote(kwargs.pop("object_id"))
        # Read before the row: the page must not show an older row than `seen` says.
        self.seen = getattr(last_event(object_id), "pk", "")
        self.obj = self.model_admin.get_object(request, object_id)
        if self.obj is None:
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.unchanged() if self.obstacle(self.obj) else self.page(self.asks())

    def post(self, request: HttpRequest) -> HttpResponse:
        if not self.is_locked:
            return self.sent(request)
        # The verb takes this lock, too: nothing changes between this check and the verb.
        with AuditLog.of(getattr(self.obj, "organization_id", self.obj.pk)):
            self.obj.refresh_from_db()
            if self.obstacle(self.obj):
                return self.unchanged()
            if request.POST.get("seen") != getattr(last_event(self.obj.pk), "pk", ""):
                return self.unchanged("was changed after that page was opened")
            return self.sent(request)

    def sent(self, request: HttpRequest) -> HttpResponse:
        self.form = form = self.asks(request.POST)
        if form.is_valid() and self.is_proved:
            fields = form.cleaned_data
            history = f"{self.label}: {fields['reason']}"
            try:
                with transaction.atomic():
                    if not (done := self.carry_out(fields)):
                        return self.unchanged()
                    self.model_admin.log_change(request, self.obj, history)
            except Refusal as refusal:
                show_refusal(refusal, form)
            else:
                if isinstance(done, HttpResponse):
                    return done
                messages.success(request, done)
                return HttpResponseRedirect(self.model_admin.page_url(self.obj))
        return self.page(form)

    def page(self, form: forms.Form, **context: Any) -> HttpResponse:
        context |= {"original": self.obj, "form": form, "back": self.model_admin.page_url(self.obj)}
        return self.shown("verb", str(self.obj), **context)

    def unchanged(self, why: str = "") -> HttpResponse:
        """Redirect to the row's page, with a message why nothing changed and the last event."""
        why = why or self.obstacle(self.obj) or "is like this already"
        said = f"{self.obj} {why}; nothing changed."
        last = last_event(self.obj.pk)
        if last and self.request.user.has_perm("audit.view_auditevent"):
            at = format_moment(last.created_at)
            said += f" Its last event: {last.action} by {last.actor}, {at}."
        messages.warning(self.request, said)
        return HttpResponseRedirect(self.model_admin.page_url(self.obj))


def last_event(target_id: object) -> AuditEvent | None:
    """Return the last event about this row in an organization's log."""
    events = AuditEvent.objects.filter(target_id=target_id).exclude(organization_id=SERVICE)
    return events.order_by("-sequence").first()


class VerbAdmin(ReadOnlyAdmin):
    """Shows a row by its model's template `page` and `facts`, with a button for each verb."""

    verbs: ClassVar[tuple[type[VerbPage], ...]] = ()
    facts: Callable[[HttpRequest, Any], dict[str, Any]]  # Returns the template's other context.

    def get_urls(self) -> list[URLPattern]:
        return [*verb_urls(self, self.verbs), *super().get_urls()]

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Show the row and its buttons. Change nothing."""
        obj = self.get_object(request, unquote(object_id))
        if request.method != "GET" or not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            raise Http404
        may = request.user.has_perm
        verbs = [verb for verb in self.verbs if may(verb.permission) and not verb.obstacle(obj)]
        context = {
            "title": str(obj),
            "original": obj,
            "buttons": [(verb, self.page_url(obj, verb.slug)) for verb in verbs],
            "history_url": self.page_url(obj, "history"),
            **self.facts(request, obj),
        }
        template = f"{self.opts.app_label}/{self.opts.model_name}/page"
        return page(request, template, opts=self.opts, **context)


def verb_urls(
    model_admin: PlainList,
    pages: Iterable[type[FormPage]],
    route: str = "<path:object_id>/",
    prefix: str = "",
) -> list[URLPattern]:
    """Return the URL patterns of these pages, each of which requires its `permission`."""
    urls, of = [], model_admin.url_name
    for each in pages:
        permitted = permission_required(each.permission, raise_exception=True)
        view = model_admin.admin_site.admin_view(permitted(each.as_view(model_admin=model_admin)))
        urls.append(path(f"{route}{each.slug}/", view, name=f"{of}_{prefix}{each.slug}"))
    return urls
