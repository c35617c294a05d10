"""Organizations: made, looked at, and changed through their verbs."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString

from accounts.admin.organization_verbs import Resume, Suspend
from accounts.models import Organization
from accounts.models.organization import clean_name
from accounts.staff import VerbAdmin, staff_of
from accounts.staff.columns import badge
from reachscore.api.refusals import Refusal

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


@admin.register(Organization)
class OrganizationAdmin(VerbAdmin):
    list_display = ("name", "id", "plan", "status", "created_at")
    list_filter = ("plan", ("suspended_at", admin.EmptyFieldListFilter))
    list_select_related = ("plan",)
    search_fields = ("name", "id")
    form = NewOrganizationForm
    verbs = (Suspend, Resume)
    page_template = "admin/accounts/organization/page.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.add_organization")

    @admin.display(description="status")
    def status(self, organization: Organization) -> SafeString:
        return badge("suspended") if organization.suspended_at else badge("active")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.create(actor=staff_of(request))
