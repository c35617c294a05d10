"""Organizations, plans, the audit log and staff, in the Django admin."""

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

import accounts.access.people  # noqa: F401 - registers accounts and groups of staff
from accounts.models import Actor, AuditEvent, Organization, Plan, User
from accounts.models.organization import clean_name
from accounts.staff import ReadOnlyAdmin, VerbAdmin
from reachscore.api.refusals import Refusal

admin.site.site_header = "ReachScore keys"
admin.site.site_title = "ReachScore keys"
admin.site.index_title = "Staff"


def staff_of(request: HttpRequest) -> Actor:
    """Return the member of staff behind an admin request, as the audit log names them."""
    return Actor.staff(cast(User, request.user))


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
    change_form_template = "admin/accounts/organization/change_form.html"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("name", "plan")
        return ("name", "id", "plan", "status", "created_at", "suspended_at")

    @admin.display(description="status")
    def status(self, organization: Organization) -> str:
        return "suspended" if organization.suspended_at else "active"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.create(actor=staff_of(request))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path(
                "<path:object_id>/suspend/",
                view(self.suspend_view),
                name="accounts_organization_suspend",
            ),
            path(
                "<path:object_id>/resume/",
                view(self.resume_view),
                name="accounts_organization_resume",
            ),
        ]
        return own + super().get_urls()

    def suspend_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a reason and suspend."""
        return self.confirm_verb(
            request,
            object_id,
            permission="accounts.suspend_organization",
            verb="Suspend",
            consequence="Every key of this organization is refused from its next request on, "
            "until the organization is resumed.",
            call=lambda obj, reason: obj.suspend(actor=staff_of(request), reason=reason),
            done="{} is suspended; its keys are refused from now on.",
            done_before="{} was suspended already; nothing changed.",
        )

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a reason and resume."""
        return self.confirm_verb(
            request,
            object_id,
            permission="accounts.suspend_organization",
            verb="Resume",
            consequence="Its keys that are neither revoked nor expired work again at once.",
            call=lambda obj, reason: obj.resume(actor=staff_of(request), reason=reason),
            done="{} is resumed; its keys work again.",
            done_before="{} was not suspended; nothing changed.",
        )


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "requests_per_minute",
        "tests_limit",
        "tests_renew",
        "domains_limit",
        "price_cents",
    )


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "action", "target_id", "actor", "organization_id", "reason")
    list_filter = ("action", "actor_type", "created_at")
    search_fields = ("target_id", "organization_id", "actor_label", "reason", "request_id", "ip")
    exclude = ("seal",)
    readonly_fields = ("seal_in_hex",)

    @admin.display(description="actor")
    def actor(self, event: AuditEvent) -> str:
        return str(event.actor)

    @admin.display(description="seal")
    def seal_in_hex(self, event: AuditEvent) -> str:
        return bytes(event.seal).hex()
