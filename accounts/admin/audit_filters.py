"""The filters of the audit log, and what its search box understands."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from ipaddress import ip_address
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.models import AuditEvent
from accounts.models.actor import actor_types

Events = QuerySet[AuditEvent]
DATE: Final = forms.DateInput(attrs={"type": "date"})


class ActionFilter(admin.SimpleListFilter):
    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(action, action) for action in AuditEvent.actions()]

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        return queryset.filter(action=self.value()) if self.value() else queryset


class ActorFilter(admin.SimpleListFilter):
    title = "actor"
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, kind) for kind, _ in actor_types()]

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        return queryset.filter(actor_type=self.value()) if self.value() else queryset


class WhereAndWhenForm(forms.Form):
    """Whose events, and of which days in UTC, both included."""

    organization = forms.CharField(
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"placeholder": "org_… or service", "size": "16"}),
    )
    since = forms.DateField(label="From", required=False, widget=DATE)
    until = forms.DateField(label="To", required=False, widget=DATE)


class WhereAndWhen(admin.ListFilter):
    """A filter that is filled in; what cannot be read filters nothing and is said on the spot."""

    title = "organization and days"
    template = "admin/typed_filter.html"

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        given = {
            name: params.pop(name)[-1] for name in self.expected_parameters() if name in params
        }
        self.form = WhereAndWhenForm(given)
        self.form.is_valid()

    def expected_parameters(self) -> list[str | None]:
        return list(WhereAndWhenForm.base_fields)

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        kept = {
            name: value
            for name, value in changelist.params.items()
            if name not in WhereAndWhenForm.base_fields
        }
        yield {"form": self.form, "kept": kept}

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        fields = self.form.cleaned_data
        if fields.get("organization"):
            queryset = queryset.filter(organization_id=fields["organization"])
        if fields.get("since"):
            queryset = queryset.filter(
                created_at__gte=datetime.combine(fields["since"], time(), UTC)
            )
        if fields.get("until"):
            # Not before the next midnight: the last day of all has none.
            queryset = queryset.filter(
                created_at__lte=datetime.combine(fields["until"], time.max, UTC)
            )
        return queryset


def matching(events: Events, text: str) -> Events:
    """Return the events that an id or an address names, else those whose words hold the text."""
    exact = Q(target_id=text) | Q(pk=text)
    if text.startswith(("key_", "evt_")):
        return events.filter(exact)
    if text.startswith("org_"):
        return events.filter(organization_id=text)
    if text.startswith("req_"):
        return events.filter(request_id=text)
    try:
        return events.filter(ip=str(ip_address(text)))
    except ValueError:
        words = Q(actor_label__icontains=text) | Q(reason__icontains=text)
        return events.filter(exact | words)
