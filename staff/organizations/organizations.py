"""Organizations and plans: organizations are made, looked at, and changed through their verbs."""

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import Organization, Plan
from accounts.models.near_limit import NEAR_PERCENT, near_limit
from accounts.models.organization import OVERRIDES
from accounts.models.usage import used_now
from audit.models import AuditEvent
from staff.audit.events import with_key_names
from staff.kit.forms import LineField, ReasonForm
from staff.kit.lists import ChoiceFilter, EndlessAdmin, ReadOnlyAdmin, Rows, badge, moment, staff_of
from staff.kit.search import holds
from staff.kit.verb_page import VerbAdmin
from staff.organizations.verbs import ChangeContact, ChangePlan, Rename, Resume, Suspend

MOST_EVENTS: Final = 20

if TYPE_CHECKING:
    OrganizationForm = ModelForm[Organization]
else:
    OrganizationForm = ModelForm


class NewOrganizationForm(OrganizationForm, ReasonForm):
    """A name, a plan, and why."""

    name = LineField(label="Name", max_length=100)

    class Meta:
        model = Organization
        fields = ("name", "plan")


def near(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Return those that have used NEAR_PERCENT of a limit or more."""
    return organizations.filter(pk__in=near_limit(timezone.now()).values("organization"))


class AttentionFilter(ChoiceFilter):
    title = "attention"
    parameter_name = "attention"
    narrowed = {"suspended": lambda rows: rows.exclude(suspended_at=None), "near": near}
    labels = {"near": f"above {NEAR_PERCENT} % of a limit"}


@admin.register(Organization)
class OrganizationAdmin(EndlessAdmin, VerbAdmin):
    list_display = ("name", "identity", "plan", "status", "contact", "created")
    columns_of = {("attention", "near"): "used"}
    list_filter = (AttentionFilter, "plan")
    list_select_related = ("plan",)
    search_fields = ("name",)  # Django shows the box for it.
    finds = staticmethod(lambda rows, text: rows.filter(Q(pk=text) | holds(text)))
    search_help_text = "Words of a name or a contact's address, or an id."
    empty_hint = "No organization is found like this. Take a filter away, or add one."
    form = NewOrganizationForm
    fields = ("name", "plan", "reason")
    verbs = (ChangePlan, Rename, ChangeContact, Resume, Suspend)
    page_template = "admin/accounts/organization/page.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.add_organization")

    def facts(self, request: HttpRequest, obj: Organization) -> dict[str, Any]:
        may_see_events = request.user.has_perm("audit.view_auditevent")
        events = AuditEvent.objects.filter(organization_id=obj.pk).order_by("-sequence")
        limits = limits_of(obj)
        return {
            "state": self.status(obj),
            "limits": limits,
            "usage": usage_of(obj, limits),
            "events": with_key_names(events)[:MOST_EVENTS] if may_see_events else None,
        }

    def rows(self, queryset: Rows) -> Rows:
        near = Prefetch("usage", near_limit(timezone.now()), to_attr="near_limits")
        return queryset.prefetch_related(near)

    @admin.display(description="used of its limits")
    def used(self, organization: Any) -> SafeString:
        near = [(u.meter, f"{u.used:,} of {u.limit:,}", u) for u in organization.near_limits]
        lines = ((meter, of, fullness(u.used, u.limit)) for meter, of, u in near)
        return format_html_join(" ", "<div>{} {} {}</div>", lines)

    @admin.display(description="id")
    def identity(self, organization: Organization) -> SafeString:
        return format_html("<code>{}</code>", organization.pk)

    @admin.display(description="status")
    def status(self, organization: Organization) -> SafeString:
        if organization.suspended_at is None:
            return badge("active")
        return format_html("{} since {}", badge("suspended"), moment(organization.suspended_at))

    @admin.display(description="contact")
    def contact(self, organization: Organization) -> str:
        return organization.contact_email or "—"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.create(actor=staff_of(request), reason=form.cleaned_data["reason"])


def limits_of(organization: Organization) -> dict[str, dict[str, Any]]:
    """Return each limit as it holds, and whether it was agreed on with this customer."""
    limits = {}
    for name, label in zip(OVERRIDES, ("Requests a minute", "Tests", "Domains"), strict=True):
        own = getattr(organization, name)
        limit = getattr(organization.plan, name) if own is None else own
        limits[name] = {"label": label, "limit": limit, "is_own": own is not None}
    return limits


def usage_of(organization: Organization, limits: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a bar for each mode and meter; the sandbox is never limited. Two queries."""
    renew, now, bars = organization.plan.tests_renew, timezone.now(), []
    for mode in ("live", "test"):
        live = mode == "live"
        used = used_now(organization_id=organization.pk, livemode=live, tests_renew=renew, now=now)
        for meter, count in used.items():
            limit = limits[f"{meter.value}_limit"]["limit"] if live else None
            bars.append(
                {
                    "mode": mode,
                    "meter": meter.value,
                    "used": count,
                    "limit": limit,
                    "percent": 100 * count // limit if limit else None,
                    "fullness": fullness(count, limit),
                }
            )
    return bars


def fullness(used: int, limit: int | None) -> SafeString:
    """Return a badge for a limit of which NEAR_PERCENT or more is used; else nothing."""
    if limit is None or not used or 100 * used < NEAR_PERCENT * limit:
        return SafeString()
    if used < limit:
        return badge("expiring", "nearly used up")
    return badge("revoked", "used up" if used == limit else "over the limit")


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    """What can be bought; changed by migrations only."""

    list_display = ("name", *OVERRIDES, "tests_renew", "price_cents")
