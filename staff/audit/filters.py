"""The filters of the audit log, and what its search box understands."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, time
from ipaddress import ip_address
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.models import Organization
from audit.actor import ActorType, actor_types
from audit.models import AuditEvent
from staff.kit.lists import ColumnFilter
from staff.kit.search import Folded, holds

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
