"""Organizations and plans: staff add and read organizations, and change them by verbs."""

from datetime import timedelta
from typing import Any, Final

from django.contrib import admin
from django.db.models import Exists, OuterRef, Prefetch, Q
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import Organization, Plan
from accounts.models.organization import OVERRIDES
from accounts.models.usage import NEAR_PERCENT, near_limit, used_now
from apikeys.api.querysets import presentable
from apikeys.models import ApiKey, KeySecret, KeyStatus
from apikeys.scopes import ALL_SCOPES
from audit.models import AuditEvent
from notices.contacts import contacts_of
from notices.models import Contact, Delivery
from staff.audit.events import with_names
from staff.kit.forms import LineField, ReasonForm
from staff.kit.lists import MOST_COUNTED, ChoiceFilter, ReadOnlyAdmin, Rows, badge, moment, staff_of
from staff.kit.search import holds
from staff.kit.verb_page import VerbAdmin
from staff.organizations.verbs import LIMITS, ORGANIZATION_VERBS

MOST_EVENTS: Final = 20
MOST_KEYS: Final = 10
SINCE_LOSS: Final = timedelta(days=30)
MOST_DELIVERIES: Final = 50
MODES: Final = {"live": True, "test": False}


class NewOrganizationForm(ModelForm):  # type: ignore[type-arg]
    name = LineField(label="Name", max_length=100)
    reason = ReasonForm.base_fields["reason"]


def near(organizations: Rows) -> Rows:
    return organizations.filter(pk__in=near_limit(timezone.now()).values("organization"))


def left_without(organizations: Rows) -> Rows:
    """Return those that lost their last usable unrestricted live key within SINCE_LOSS: they cannot
    manage keys over the API, nor call it if there was only that key."""
    now = timezone.now()
    managing = ApiKey.objects.filter(livemode=True, scopes__contains=list(ALL_SCOPES))
    ended = Q(revoked_at=None, expires_at__range=(now - SINCE_LOSS, now))
    lost = managing.filter(ended | Q(revoked_at__gt=now - SINCE_LOSS))
    secrets = KeySecret.objects.filter(api_key=OuterRef("pk"), ended_at=None)
    usable = managing.filter(
        Exists(secrets), KeyStatus.ACTIVE.condition, organization=OuterRef("pk")
    )
    # First what was lost: of all organizations it took 5 s (a million keys, 100,000 customers).
    return organizations.filter(
        ~Exists(usable), pk__in=lost.values("organization"), suspended_at=None
    )


class AttentionFilter(ChoiceFilter):
    title = parameter_name = "attention"
    narrowed = {
        "suspended": lambda rows: rows.exclude(suspended_at=None),
        "near": near,
        "keyless": left_without,
    }
    labels = {
        "near": f"above {NEAR_PERCENT} % of a limit",
        "keyless": "lost the last unrestricted live key",
    }


@admin.register(Organization)
class OrganizationAdmin(VerbAdmin):
    list_display = ("name", "id", "plan", "status", "contact", "created")
    columns_of = {("attention", "near"): "used"}
    list_filter = (AttentionFilter, "plan")
    list_select_related = ("plan",)
    search_fields = ("name",)  # Makes Django show the search box.
    finds = staticmethod(lambda rows, text: rows.filter(Q(pk=text) | holds(text)))
    search_help_text = "Words of a name or a contact's address, or an id."
    empty_hint = "No organization matches. Take a filter away, or add one."
    form = NewOrganizationForm
    fields = ("name", "plan", "reason")
    verbs = ORGANIZATION_VERBS
    has_add_permission = admin.ModelAdmin.has_add_permission

    def facts(self, request: HttpRequest, obj: Organization) -> dict[str, Any]:
        facts: dict[str, Any] = {"state": self.status(obj), "limits": limits_of(obj)}
        facts["usage"] = usage_of(obj, facts["limits"])
        facts["contacts"] = contacts_of(obj.pk)
        if request.user.has_perm("notices.view_delivery"):
            sent = Delivery.objects.filter(organization=obj).select_related("contact", "row")
            facts["deliveries"] = sent.order_by("-created_at")[:MOST_DELIVERIES]
        if request.user.has_perm("audit.view_auditevent"):
            events = AuditEvent.objects.filter(organization_id=obj.pk).order_by("-sequence")
            facts["events"] = with_names(events)[:MOST_EVENTS]
        if request.user.has_perm("apikeys.view_apikey"):
            active = obj.api_keys.filter(KeyStatus.ACTIVE.condition)
            facts["keys"] = presentable(obj.api_keys.select_related("organization"))[:MOST_KEYS]
            facts["active"] = [
                (mode, active.filter(livemode=live)[:MOST_COUNTED].count())
                for mode, live in MODES.items()
            ]
        return facts

    @staticmethod
    def rows(queryset: Rows) -> Rows:
        near = Prefetch("usage", near_limit(timezone.now()), to_attr="near_limits")
        verified = Contact.objects.filter(removed_at=None).exclude(verified_at=None)
        told = Prefetch("contacts", verified.order_by("id"), to_attr="told")
        return queryset.prefetch_related(near, told)

    @admin.display(description="contacts")
    def contact(self, organization: Any) -> str:
        return ", ".join(contact.email for contact in organization.told)

    @admin.display(description="used of its limits")
    def used(self, organization: Any) -> SafeString:
        near = organization.near_limits
        lines = ((n.meter, f"{n.used:,}", f"{n.limit:,}", fullness(n.used, n.limit)) for n in near)
        return format_html_join(" ", "<div>{} {} of {} {}</div>", lines)

    @admin.display(description="status")
    def status(self, organization: Organization) -> SafeString:
        if organization.suspended_at is None:
            return badge("active")
        return format_html("{} since {}", badge("suspended"), moment(organization.suspended_at))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.create(actor=staff_of(request), reason=form.cleaned_data["reason"])


def limits_of(organization: Organization) -> dict[str, dict[str, Any]]:
    """Return each limit in force, and whether it is this customer's own instead of the plan's."""
    limits = {}
    for name, label in LIMITS.items():
        own, plans = getattr(organization, name), getattr(organization.plan, name)
        limits[name] = {"label": label, "limit": plans if own is None else own, "own": own}
    return limits


def usage_of(organization: Organization, limits: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what to show for each mode and meter. Sandbox usage has no limit. Two queries."""
    of: Any = {"organization_id": organization.pk, "tests_renew": organization.plan.tests_renew}
    of["now"] = timezone.now()
    bars = []
    for mode, live in MODES.items():
        for meter, used in used_now(**of, livemode=live).items():
            limit = limits[f"{meter}_limit"]["limit"] if live else None
            percent = 100 * used // limit if limit else None
            bar = {"mode": mode, "meter": meter, "used": used, "limit": limit, "percent": percent}
            bars.append({**bar, "fullness": fullness(used, limit)})
    return bars


def fullness(used: int, limit: int | None) -> SafeString:
    """Return a badge if NEAR_PERCENT of the limit or more is used, else an empty string."""
    if limit is None or not used or 100 * used < NEAR_PERCENT * limit:
        return SafeString("")
    if used < limit:
        return badge("expiring", "nearly used up")
    return badge("revoked", "used up" if used == limit else "over the limit")


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    """Plans, which only migrations change."""

    list_display = ("name", *OVERRIDES, "tests_renew", "price_cents")
