"""The audit log: read, searched and exported, and never changed."""

from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import Organization
from apikeys.models import ApiKey
from audit.export import in_pieces, note_export
from audit.models import SERVICE, AuditEvent, AuditHead
from staff.audit.export import FORMATS
from staff.audit.filters import ActionFilter, ActorFilter, WhereAndWhen, matching
from staff.kit.lists import EndlessAdmin, Rows, moment, staff_of
from staff.kit.verb_page import VerbAdmin
from staff.login.proof import proved

# The admin's pages of what events are about.
PAGES_OF_TARGETS: Final = {"organization": "accounts_organization", "api_key": "apikeys_apikey"}


@admin.register(AuditEvent)
class AuditEventAdmin(EndlessAdmin, VerbAdmin):
    list_display = ("when", "done", "target", "change", "who", "organization")
    list_filter = (ActionFilter, ActorFilter, WhereAndWhen)
    search_fields = ("reason",)  # Django shows the box for it; `matching` looks further.
    finds = staticmethod(matching)
    search_help_text = "An id, an address, a request; a word of a reason or an actor's name."
    empty_hint = "No event is found like this. Take a filter away, or search for less."
    page_template = "admin/audit/auditevent/page.html"
    change_list_template = "admin/audit/auditevent/change_list.html"

    def facts(self, request: HttpRequest, obj: AuditEvent) -> dict[str, Any]:
        return {
            "organization": Organization.objects.filter(pk=obj.organization_id).first(),
            "target_url": target_url(obj),
            "seal": bytes(obj.seal).hex(),
        }

    @admin.display(description="when", ordering="created_at")
    def when(self, event: AuditEvent) -> SafeString:
        return moment(event.created_at)

    @admin.display(description="action", ordering="action")
    def done(self, event: AuditEvent) -> SafeString:
        noun, _, done = event.action.partition(".")
        return format_html("{}.<wbr>{}", noun, done)

    def rows(self, queryset: Rows) -> Rows:
        return with_key_names(queryset)

    @admin.display(description="about")
    def target(self, event: Any) -> SafeString | str:
        if not (url := target_url(event)):
            return str(event.target_id)
        name = event.key_name or ""
        return format_html('<a href="{}">{}</a> <bdi>{}</bdi>', url, event.target_id, name)

    @admin.display(description="by")
    def who(self, event: AuditEvent) -> SafeString:
        return format_html('<bdi title="{}">{}</bdi>', event.ip or "", event.actor)

    @admin.display(description="organization")
    def organization(self, event: AuditEvent) -> SafeString:
        id_ = event.organization_id
        said = "this service" if id_ == SERVICE else id_
        return format_html('<a href="?organization={}">{}</a>', id_, said)

    @admin.display(description="what changed")
    def change(self, event: AuditEvent) -> SafeString:
        return render_to_string("admin/reason_and_changes.html", {"event": event})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name=f"{self.url_name}_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream the events that the list of this query finds, on all its pages.

        Raises PermissionDenied.
        """
        if not request.user.has_perm("audit.export_auditevent"):
            raise PermissionDenied
        back = f"{self.list_url()}?{request.GET.urlencode()}"
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
        # What is recorded now is not part of it: an export does not contain itself.
        events = found.queryset.filter(created_at__lte=now)
        # The organization's log notes the export if it was filtered by one, else our own.
        concerned = AuditHead.objects.filter(pk=found.params.get("organization", "")).first()
        note_export(
            concerned.pk if concerned else SERVICE,
            actor=staff_of(request),
            form=suffix,
            filters=found.params,
        )
        disposition = f'attachment; filename="audit-{now:%Y-%m-%d}.{suffix}"'
        headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
        pieces = lines(in_pieces(events))
        return StreamingHttpResponse(pieces, content_type=content_type, headers=headers)


def with_key_names(events: Rows) -> Rows:
    """Return these events with `key_name`, of the key that each is about, as it is called now."""
    names = ApiKey.objects.filter(pk=OuterRef("target_id")).values("name")
    named: Rows = events.annotate(key_name=Subquery(names))
    return named


def target_url(event: AuditEvent) -> str:
    """Return the address of the page of what an event is about, or nothing."""
    name = PAGES_OF_TARGETS.get(event.target_type)
    return reverse(f"admin:{name}_change", args=[quote(event.target_id)]) if name else ""
