"""Doing one thing to many keys: a dry run that lists and counts, then a page that says how far."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.views import View

from accounts.access.proof import password_needed
from apikeys.admin.bulk_form import MOST_AT_ONCE, BulkForm
from apikeys.models import ApiKey
from reachscore.api.faults import is_database_fault, log_database_fault
from reachscore.api.refusals import Refusal
from reachscore.stale import once_more

if TYPE_CHECKING:
    from apikeys.admin.bulk_admin import BulkAdmin

MOST_LISTED: Final = 100
STOPPED: Final = (
    "stopped here, because the database is away or busy. What is done stays done, perhaps this "
    "one, too: reload this page in a while to send the form again."
)
PLACE_OF_PROGRESS: Final = "⟦progress⟧"


class BulkPage(ABC, View):
    """A verb for many keys, each in its own transaction, so that it can be sent again.

    GET is the dry run over an organization's keys, and `preview` the one over any others; POST
    carries it out and streams a line a key.
    """

    slug: ClassVar[str]
    label: ClassVar[str]
    permission: ClassVar[str]
    done: ClassVar[str]  # What is said of a key that was changed.
    form_class: ClassVar[type[BulkForm]]
    template_name: ClassVar[str]
    destructive: ClassVar[bool] = False
    http_method_names = ("get", "post", "head")

    model_admin: "BulkAdmin" = None  # type: ignore[assignment]

    @abstractmethod
    def plan(self, keys: Sequence[ApiKey]) -> dict[str, Any]:
        """Return what the template shows; `initial` are the ids in the form's fields of keys."""

    @abstractmethod
    def change(self, api_key: ApiKey, fields: dict[str, Any]) -> bool:
        """Call the verb, writing Django's history; False where nothing was to be done."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        if (asked := password_needed(request, back=self.back(request))) is not None:
            return asked
        return super().dispatch(request, *args, **kwargs)

    def back(self, request: HttpRequest) -> str:
        """Return where the password's page leads to: nothing that was posted is kept."""
        if request.method == "GET":
            return request.get_full_path()
        return self.model_admin.list_url()

    def get(self, request: HttpRequest) -> HttpResponse:
        organization_id = request.GET.get("organization", "")
        keys = self.model_admin.get_queryset(request).filter(organization_id=organization_id)
        return self.preview(keys.filter(revoked_at=None))

    def preview(self, queryset: QuerySet[Any], form: BulkForm | None = None) -> HttpResponse:
        """Answer with the dry run."""
        found = queryset.select_related("organization").prefetch_related("grants")
        keys = list(found[: MOST_AT_ONCE + 1])
        if len(keys) > MOST_AT_ONCE:
            said = f"These are more than {MOST_AT_ONCE:,} keys: filter the list further."
            return self._lead_back(said)
        planned = self.plan(keys)
        if not any(planned["initial"].values()):
            return self._lead_back("There is nothing to do to these keys; nothing changed.")
        if form is None:
            form = self.form_class(initial=planned["initial"])
        context = {
            **self.model_admin.admin_site.each_context(self.request),
            "opts": self.model_admin.opts,
            "title": f"{self.label}: a dry run",
            "verb": self,
            "form": form,
            "action": self.model_admin.bulk_url(self),
            "most_listed": MOST_LISTED,
            **planned,
        }
        response = TemplateResponse(self.request, self.template_name, context)
        response["Cache-Control"] = "no-store"
        return response

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = self.form_class(request.POST)
        try:
            ids = form.listed()
        except ValidationError as error:
            return self._lead_back(str(error.message))
        if not form.is_valid():
            return self.preview(self.model_admin.get_queryset(request).filter(pk__in=ids), form)
        response = StreamingHttpResponse(self._stream(form.cleaned_data))
        response["Cache-Control"] = "no-store"
        response["X-Accel-Buffering"] = "no"  # nginx would keep the lines until the last.
        return response

    def _lead_back(self, said: str) -> HttpResponse:
        messages.warning(self.request, said)
        return HttpResponseRedirect(self.model_admin.list_url())

    def _stream(self, fields: dict[str, Any]) -> Iterator[str]:
        """Yield the page, a line after each key."""
        # Wherever the server runs this, events name the address and id of this request.
        context = copy_context()
        whole = {
            **self.model_admin.admin_site.each_context(self.request),
            "opts": self.model_admin.opts,
            "title": f"{self.label}: progress",
            "verb": self,
            "total": len(fields["keys"]),
            "place_of_progress": PLACE_OF_PROGRESS,
        }
        page = render_to_string("admin/bulk_progress.html", whole, self.request)
        before, _, after = page.partition(PLACE_OF_PROGRESS)
        yield before
        yield from self._lines(fields, context.run)
        yield after

    def _lines(self, fields: dict[str, Any], run: Any) -> Iterator[str]:
        changed, total = 0, len(fields["keys"])
        yield '<ol class="progress">'
        for place, key_id in enumerate(fields["keys"], start=1):
            try:
                outcome, has_changed = run(once_more(self._one), key_id, fields)
            except DatabaseError as fault:
                if not is_database_fault(fault):
                    raise
                log_database_fault(fault)
                yield format_html("<li><strong>{} of {}: {}</strong></li>\n", place, total, STOPPED)
                break
            changed += has_changed
            yield format_html("<li>{} of {}: {}</li>\n", place, total, outcome)
        yield format_html(
            '</ol><p role="status"><strong>{} of {} keys {}.</strong> The rest is as it was, as '
            "its line says.</p>",
            changed,
            total,
            self.done,
        )

    def _one(self, key_id: str, fields: dict[str, Any]) -> tuple[str, bool]:
        """Do one key in its own transaction; return what is said of it, and whether it changed."""
        api_key = ApiKey.objects.select_related("organization__plan").filter(pk=key_id).first()
        if api_key is None:
            return f"{key_id} is no key", False
        try:
            with transaction.atomic():
                if self.change(api_key, fields):
                    return f"{api_key} {self.done}", True
        except Refusal as refusal:
            return f"{api_key}: {refusal.message}", False
        return f"{api_key} was so already", False
