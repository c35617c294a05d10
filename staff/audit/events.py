"""The audit log: staff read, search and export it. Nobody changes it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, time
from ipaddress import ip_address
from typing import Any, Final, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, TextField, When
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import Organization
from apikeys.models import ApiKey
from audit.actor import ActorType, actor_types
from audit.models import SERVICE, AuditEvent, AuditHead, AuditLog
from staff.audit.export import FORMATS, in_pieces
from staff.kit.lists import ColumnFilter, Rows, column, staff_of
from staff.kit.search import Folded, holds
from staff.kit.verb_page import VerbAdmin
from staff.login.proof import proved
from staff.models import User

# The admin's pages of the rows that events are about, by `target_type`.
PAGES: Final = {"organization": "accounts_organization", "api_key": "apikeys_apikey"}
Events = QuerySet[AuditEvent]
# Events of at most this many organizations are found by a name.
MOST_OWNERS: Final = 200
ID: Final = re.compile(r"[a-z]{3}_[0-9A-Za-z]+|[0-9]+")
TRIGRAM: Final = 3
WORDS: Final = Folded("actor_label", "reason")  # The expression of the index `audit_event_words`.
ORGANIZATION: Final = forms.TextInput(attrs={"placeholder": "org_… or service", "size": "16"})
DATE: Final = forms.DateInput(attrs={"type": "date"})


class ActionFilter(ColumnFilter):
    title = parameter_name = column = "action"
    lookups = staticmethod(lambda *_: [(action, action) for action in AuditEvent.actions()])


class ActorFilter(ColumnFilter):
    title = parameter_name = "actor"
    column = "actor_type"
    lookups = staticmethod(lambda *_: actor_types())


class WhereAndWhenForm(forms.Form):
    organization = forms.CharField(required=False, max_length=40, widget=ORGANIZATION)
    since = forms.DateField(label="From", required=False, widget=DATE)
    until = forms.DateField(label="To", required=False, widget=DATE)


class WhereAndWhen(admin.ListFilter):
    """A filter with a form. A value that is not valid filters nothing, and its field says why."""

    title = "organization and days"
    template = "admin/typed_filter.html"

    def __init__(self, request: HttpRequest, params: dict[str, Any], *of: Any) -> None:
        super().__init__(request, params, *of)
        names = set(WhereAndWhenForm.base_fields) & params.keys()
        self.form = WhereAndWhenForm({name: params.pop(name)[-1] for name in names})
        self.form.is_valid()

    def expected_parameters(self) -> list[str | None]:
        return list(WhereAndWhenForm.base_fields)

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        kept = changelist.params.items()
        yield {"form": self.form, "kept": {n: v for n, v in kept if n not in self.form.fields}}

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        given = self.form.cleaned_data
        wanted = {
            "organization_id": given.get("organization"),
            "created_at__gte": (day := given.get("since")) and datetime.combine(day, time(), UTC),
            # Not "before the next midnight": 9999-12-31 has none.
            "created_at__lte": (day := given.get("until")) and datetime.combine(day, time.max, UTC),
        }
        return queryset.filter(**{name: value for name, value in wanted.items() if value})


def matching(events: Events, text: str) -> Events:
    """Return the events with this id, address or actor, else those whose action, organization,
    reason or actor's name matches the text."""
    if ID.fullmatch(text):
        field = "organization_id" if text.startswith("org_") else "target_id"
        return events.filter(Q((field, text)) | Q(pk=text) | Q(request_id=text))
    with suppress(ValueError):
        return events.filter(ip=str(ip_address(text)))
    events = events.alias(words=WORDS)
    kind, _, actor = text.partition(":")
    if kind in ActorType.values and (actor or kind == ActorType.CLI):  # As in the list.
        return events.filter(Q(actor_id=actor) | holds(actor, "words"), actor_type=kind)
    owners = Organization.objects.filter(holds(text)).order_by().values_list("pk", flat=True)
    actions = [action for action in AuditEvent.actions() if text.lower() in action]
    named = Q(organization_id__in=list(owners[:MOST_OWNERS])) | Q(action__in=actions)
    # No index holds a word shorter than a trigram: PostgreSQL would read all events.
    return events.filter(named if len(text) < TRIGRAM else named | holds(text, "words"))


def with_names(events: Rows) -> Rows:
    """Annotate events with `target_name`, the present name of the key or member of staff."""
    keys = ApiKey.objects.filter(pk=OuterRef("target_id")).values("name")
    staff = User.objects.annotate(id_text=Cast("pk", TextField()))
    names = staff.filter(id_text=OuterRef("target_id")).values("username")
    name = Case(When(target_type="staff", then=Subquery(names)), default=Subquery(keys))
    return cast(Rows, events.annotate(target_name=name))


@admin.register(AuditEvent)
class AuditEventAdmin(VerbAdmin):
    list_display = ("created", "done", "target", "change", "who", "organization")
    list_filter = (ActionFilter, ActorFilter, WhereAndWhen)
    search_fields = ("reason",)  # Makes Django show the search box; `matching` searches.
    finds = staticmethod(matching)
    search_help_text = "An id, address or request; words of a reason, an actor or an organization."
    empty_hint = "No event matches. Take a filter away, or search for less."
    change_list_template = "admin/audit/auditevent/change_list.html"
    rows = staticmethod(with_names)
    change = column("what changed", lambda e: render_to_string("admin/changes.html", {"event": e}))

    def facts(self, request: HttpRequest, obj: AuditEvent) -> dict[str, Any]:
        return {
            "organization": Organization.objects.filter(pk=obj.organization_id).first(),
            "target_url": target_url(obj),
            "history_url": "",  # Nothing ever changes an event.
            "seal": bytes(obj.seal).hex(),
        }

    @admin.display(description="action", ordering="action")
    def done(self, event: AuditEvent) -> SafeString:
        return format_html("{}.<wbr>{}", *event.action.partition(".")[::2])

    @admin.display(description="about")
    def target(self, event: Any) -> SafeString:
        linked, plain = '<a href="{0}">{1}</a> <bdi>{2}</bdi>', "{1} <bdi>{2}</bdi>"
        url = target_url(event)
        return format_html(linked if url else plain, url, event.target_id, event.target_name or "")

    @admin.display(description="by")
    def who(self, event: AuditEvent) -> SafeString:
        ip = event.ip or ""
        return format_html('<bdi>{}</bdi> <span class="quiet">{}</span>', event.actor, ip)

    @admin.display(description="organization")
    def organization(self, event: AuditEvent) -> SafeString:
        said = event.organization_id.replace(SERVICE, "this service")
        return format_html('<a href="?organization={}">{}</a>', event.organization_id, said)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name=f"{self.url_name}_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream the events on all pages of the list with this query."""
        if not request.user.has_perm("audit.export_auditevent"):
            raise PermissionDenied
        back = self.list_url(request.GET)
        if request.method != "POST":
            return HttpResponseRedirect(back)
        if not proved(request):
            return self.changelist_view(request)
        wanted = FORMATS.get(suffix := request.POST.get("format", ""))
        if wanted is None:
            messages.warning(request, "Nothing was exported: choose CSV or JSON Lines.")
            return HttpResponseRedirect(back)
        content_type, lines = wanted
        found = self.get_changelist_instance(request)
        now = timezone.now()
        # An export does not contain its own event.
        events = found.queryset.filter(created_at__lte=now)
        # An export filtered by an organization is an event in its log, else in the service's.
        heads = AuditHead.objects.filter(pk=found.params.get("organization", ""))
        log = heads.first() or AuditHead(SERVICE)
        with AuditLog.of(log.pk) as audit:
            changes = {"format": (None, suffix), "filters": (None, dict(found.params))}
            audit.record("audit_log.exported", log, actor=staff_of(request), changes=changes)
        name = f"audit-{now:%Y-%m-%d}.{suffix}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        pieces = lines(in_pieces(events))
        return StreamingHttpResponse(pieces, content_type=content_type, headers=headers)


def target_url(event: AuditEvent) -> str:
    """Return the address of the page of the row that an event is about, or ""."""
    name = PAGES.get(event.target_type)
    return reverse(f"admin:{name}_change", args=[quote(event.target_id)]) if name else ""
