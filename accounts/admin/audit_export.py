"""The filtered audit log as a file: CSV for people, JSON Lines for programs."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone

from accounts.access.proof import password_needed
from accounts.models import AuditEvent, AuditHead
from accounts.models.audit import SERVICE
from accounts.models.audit_export import in_pieces, note_export
from accounts.staff import EndlessAdmin, staff_of
from reachscore.api.moments import format_moment

# With these a spreadsheet takes a cell for a formula, and runs it.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
COLUMNS: Final = (*AuditEvent.sealed_columns(), "seal")


class ExportAdmin(EndlessAdmin):
    """Streams what its list finds, on all its pages."""

    change_list_template = "admin/accounts/auditevent/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name=f"{self.url_name}_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream the events that the list of this query finds. Raises PermissionDenied."""
        if not request.user.has_perm("accounts.export_auditevent"):
            raise PermissionDenied
        back = f"{self.list_url()}?{request.GET.urlencode()}"
        if (asked := password_needed(request, back=back)) is not None:
            return asked
        wanted = FORMATS.get(request.POST.get("format", ""))
        if wanted is None:
            messages.warning(request, "Nothing was exported: choose CSV or JSON Lines.")
            return HttpResponseRedirect(back)
        content_type, suffix, lines = wanted
        found = self.get_changelist_instance(request)
        # What is recorded now is not part of it: an export does not contain itself.
        events = found.queryset.filter(created_at__lte=timezone.now())
        note_export(
            _concerned(found.params.get("organization", "")),
            actor=staff_of(request),
            form=suffix,
            filters=found.params,
        )
        response = StreamingHttpResponse(lines(in_pieces(events)), content_type=content_type)
        name = f"audit-{timezone.now():%Y-%m-%d}.{suffix}"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store"
        return response


def _concerned(organization_id: str) -> str:
    """Return whose log notes the export: the organization's if there is one, or our own."""
    if organization_id and AuditHead.objects.filter(pk=organization_id).exists():
        return organization_id
    return SERVICE


def record_of(event: AuditEvent) -> dict[str, Any]:
    """Return every column, the seal in hexadecimal digits."""
    record = {name: getattr(event, name) for name in COLUMNS}
    return {
        **record,
        "created_at": event.created_at.isoformat(),
        "seal": bytes(event.seal).hex(),
    }


def as_json_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield a line an event."""
    for event in events:
        yield json.dumps(record_of(event), ensure_ascii=False) + "\n"


class Echo:
    """A file that gives back what is written into it."""

    def write(self, text: str) -> str:
        return text


def as_csv(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield a line an event, under a line of the columns' names."""
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL)
    yield writer.writerow(COLUMNS)
    for event in events:
        record = {**record_of(event), "created_at": format_moment(event.created_at)}
        record["changes"] = json.dumps(event.changes, ensure_ascii=False)
        yield writer.writerow([defused(value) for value in record.values()])


def defused(value: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


FORMATS: Final[dict[str, tuple[str, str, Callable[[Iterable[AuditEvent]], Iterator[str]]]]] = {
    "csv": ("text/csv; charset=utf-8", "csv", as_csv),
    "jsonl": ("application/x-ndjson", "jsonl", as_json_lines),
}
