"""What the page of one key shows."""

from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.staff import VerbAdmin
from accounts.staff.chart import Chart, Day
from apikeys.admin.state import states_of
from apikeys.answers import days_of
from apikeys.models import ApiKey, KeySecret

DAYS_SHOWN: Final = 30
MOST_ENDED_SECRETS: Final = 5
MOST_EVENTS: Final = 20
MOST_MADE: Final = 20


class KeyPageAdmin(VerbAdmin):
    """Shows one key with all that staff decide by."""

    page_template = "admin/apikeys/apikey/page.html"

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return the key with its organization, or None."""
        if not object_id.isascii() or not object_id.isprintable():
            return None
        rows = self.get_queryset(request).select_related("organization__plan", "maker__api_key")
        return rows.filter(pk=object_id).first()

    def facts(self, request: HttpRequest, obj: ApiKey) -> dict[str, Any]:
        unended = list(obj.secrets.filter(ended_at=None))
        ended = list(obj.secrets.exclude(ended_at=None)[:MOST_ENDED_SECRETS])
        made = ApiKey.objects.filter(maker__api_key=obj)
        return {
            "states": [state.value for state in states_of(obj, unended)],
            "secrets": [*unended, *ended],
            "scopes": scopes_of(obj),
            "chart": chart_of(obj),
            "made": made[:MOST_MADE],
            "issued_elsewhere": KeySecret.objects.filter(issued_by__api_key=obj)
            .exclude(api_key=obj)
            .select_related("api_key")[:MOST_MADE],
            "events": events_of(obj),
            "all_events": events_url(request, obj),
        }


def scopes_of(api_key: ApiKey) -> list[dict[str, Any]]:
    """Return each scope with the last day on which it was exercised."""
    grants = {grant.scope: grant for grant in api_key.grants.all()}
    return [{"scope": scope, "grant": grants.get(scope)} for scope in api_key.scopes]


def chart_of(api_key: ApiKey) -> Chart:
    """Return the requests of the last 30 days, today included; one query."""
    used = days_of(api_key, days=DAYS_SHOWN, today=timezone.now().date())
    days = [Day(day.day, day.requests, day.limited) for day in used]
    return Chart("Requests of the last 30 days", days)


def events_of(api_key: ApiKey) -> list[AuditEvent]:
    """Return the newest events about this key."""
    rows = AuditEvent.objects.filter(target_id=api_key.pk)
    return list(rows.order_by("-sequence")[:MOST_EVENTS])


def events_url(request: HttpRequest, api_key: ApiKey) -> str:
    """Return where all events about this key are, for those who may see them; or nothing."""
    if not request.user.has_perm("accounts.view_auditevent"):
        return ""
    return f"{reverse('admin:accounts_auditevent_changelist')}?q={api_key.pk}"
