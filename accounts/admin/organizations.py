"""Organizations: made, looked at, and changed through their verbs."""

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.admin.organization_verbs import Resume, Suspend
from accounts.admin.terms import ChangeContact, ChangePlan, terms_of
from accounts.admin.usage import usage_of
from accounts.models import AuditEvent, Organization
from accounts.models.near_limit import NEAR_PERCENT, near_limit
from accounts.models.organization import clean_name
from accounts.staff import EndlessAdmin, VerbAdmin, staff_of
from accounts.staff.columns import badge, moment
from reachscore.api.refusals import Refusal

MOST_EVENTS: Final = 20

if TYPE_CHECKING:
    OrganizationForm = ModelForm[Organization]
else:
    OrganizationForm = ModelForm


class NewOrganizationForm(OrganizationForm):
    """A name and a plan, and nothing else."""

    class Meta:
        model = Organization
        fields = ("name", "plan")

    def clean_name(self) -> str:
        """Apply the verb's own rule where a refusal can still be shown beside the field."""
        try:
            return clean_name(self.cleaned_data["name"])
        except Refusal as refusal:
            raise ValidationError(refusal.message) from None


class AttentionFilter(admin.SimpleListFilter):
    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("suspended", "suspended"), ("near", f"above {NEAR_PERCENT} % of a limit")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Organization]
    ) -> QuerySet[Organization]:
        if self.value() == "suspended":
            return queryset.exclude(suspended_at=None)
        if self.value() == "near":
            return queryset.filter(pk__in=near_limit(timezone.now()).values("organization"))
        return queryset


@admin.register(Organization)
class OrganizationAdmin(EndlessAdmin, VerbAdmin):
    list_display = ("organization", "identity", "plan", "status", "contact", "created")
    list_filter = (AttentionFilter, "plan")
    search_fields = ("name", "id")
    search_help_text = "A name or an id."
    empty_hint = "No organization is found like this. Take a filter away, or add one."
    form = NewOrganizationForm
    fields = ("name", "plan")
    verbs = (ChangePlan, ChangeContact, Resume, Suspend)
    page_template = "admin/accounts/organization/page.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.add_organization")

    def rows(self, queryset: QuerySet[Any], ids: list[Any]) -> QuerySet[Any]:
        return queryset.filter(pk__in=ids).select_related("plan")

    def facts(self, request: HttpRequest, obj: Organization) -> dict[str, Any]:
        may_see_events = request.user.has_perm("accounts.view_auditevent")
        events = AuditEvent.objects.filter(organization_id=obj.pk).order_by("-sequence")
        return {
            "terms": terms_of(obj),
            "usage": usage_of(obj),
            "events": events[:MOST_EVENTS] if may_see_events else None,
        }

    @admin.display(description="organization", ordering="name")
    def organization(self, organization: Organization) -> str:
        return organization.name

    @admin.display(description="id")
    def identity(self, organization: Organization) -> SafeString:
        return format_html("<code>{}</code>", organization.pk)

    @admin.display(description="status")
    def status(self, organization: Organization) -> SafeString:
        return badge("suspended") if organization.suspended_at else badge("active")

    @admin.display(description="contact")
    def contact(self, organization: Organization) -> str:
        return organization.contact_email or "—"

    @admin.display(description="created", ordering="created_at")
    def created(self, organization: Organization) -> SafeString:
        return moment(organization.created_at)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.create(actor=staff_of(request))
