"""The audit log: staff read, search and export it. Nobody changes it."""

from typing import Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Case, OuterRef, Subquery, TextField, When
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
from audit.models import SERVICE, AuditEvent, AuditHead, AuditLog
from staff.audit.export import FORMATS, in_pieces
from staff.audit.filters import ActionFilter, ActorFilter, WhereAndWhen, matching
from staff.kit.lists import Rows, column, staff_of
from staff.kit.verb_page import VerbAdmin
from staff.login.proof import proved
from staff.models import User

# The admin's pages of the rows that events are about, by `target_type`.
PAGES: Final = {"organization": "accounts_organization", "api_key": "apikeys_apikey"}


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
    page_template = "audit/auditevent/page"
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
