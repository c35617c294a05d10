"""The audit log: read, searched and exported, and never changed."""

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.admin.audit_export import ExportAdmin
from accounts.admin.audit_filters import ActionFilter, ActorFilter, WhereAndWhen, matching
from accounts.models import AuditEvent, Organization
from accounts.models.audit import SERVICE
from accounts.staff import VerbAdmin
from accounts.staff.bases import search_text
from accounts.staff.columns import moment

# The admin's pages of what events are about; who knows more kinds adds them.
PAGES_OF_TARGETS: Final = {"organization": "accounts_organization"}


@admin.register(AuditEvent)
class AuditEventAdmin(ExportAdmin, VerbAdmin):
    list_display = ("when", "action", "target", "change", "who", "organization")
    list_filter = (ActionFilter, ActorFilter, WhereAndWhen)
    search_fields = ("reason",)  # Django shows the box for it; `matching` looks further.
    search_help_text = "An id, an address, a request; a word of a reason or an actor's name."
    empty_hint = "No event is found like this. Take a filter away, or search for less."
    page_template = "admin/accounts/auditevent/page.html"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_text(search_term)
        return (matching(queryset, text) if text else queryset), False

    def facts(self, request: HttpRequest, obj: AuditEvent) -> dict[str, Any]:
        organization = Organization.objects.filter(pk=obj.organization_id).first()
        return {
            "organization": organization,
            "target_url": target_url(obj),
            "seal": bytes(obj.seal).hex(),
        }

    @admin.display(description="when", ordering="created_at")
    def when(self, event: AuditEvent) -> SafeString:
        return moment(event.created_at, minutes=True)

    @admin.display(description="about")
    def target(self, event: AuditEvent) -> SafeString | str:
        url = target_url(event)
        return format_html('<a href="{}">{}</a>', url, event.target_id) if url else event.target_id

    @admin.display(description="by")
    def who(self, event: AuditEvent) -> SafeString:
        return format_html('<span title="{}">{}</span>', event.ip or "", event.actor)

    @admin.display(description="organization")
    def organization(self, event: AuditEvent) -> SafeString:
        if event.organization_id == SERVICE:
            return format_html('<a href="?organization={}">{}</a>', SERVICE, "this service")
        id_ = event.organization_id
        return format_html('<a href="?organization={}">{}</a>', id_, id_)

    @admin.display(description="what changed")
    def change(self, event: AuditEvent) -> SafeString:
        return render_to_string("admin/reason_and_changes.html", {"event": event})


def target_url(event: AuditEvent) -> str:
    """Return the address of the page of what an event is about, or nothing."""
    name = PAGES_OF_TARGETS.get(event.target_type)
    return reverse(f"admin:{name}_change", args=[quote(event.target_id)]) if name else ""
