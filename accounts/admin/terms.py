"""What a customer bought, and whom to tell: the verbs that change it."""

from typing import Any

from django import forms
from django.http import HttpResponse

from accounts.models import Organization, Plan
from accounts.models.organization import OVERRIDES
from accounts.staff import ReasonForm, VerbPage, staff_of

MOST: int = 2_147_483_647  # What the column holds.


def override(label: str) -> forms.IntegerField:
    """A limit agreed on with this customer; only what a person changed is sent to the verb."""
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=0,
        max_value=MOST,
        show_hidden_initial=True,
        help_text="Empty: the plan's.",
    )


class TermsForm(ReasonForm):
    """The plan and what was agreed on in place of it."""

    plan = forms.ModelChoiceField(Plan.objects.all(), empty_label=None, show_hidden_initial=True)
    requests_per_minute = override("Requests a minute, in place of the plan's")
    tests_limit = override("Tests, in place of the plan's")
    domains_limit = override("Domains, in place of the plan's")
    field_order = ("plan", *OVERRIDES, "reason")


class ChangePlan(VerbPage):
    """Set the plan and the overrides."""

    slug = "plan"
    label = "Change plan"
    permission = "accounts.change_organization_plan"
    form_class = TermsForm

    def says(self) -> list[str]:
        return ["Holds from the next request on. What is used already stays used."]

    def asks(self, data: Any = None) -> forms.Form:
        initial = {name: getattr(self.obj, name) for name in ("plan", *OVERRIDES)}
        return self.form_class(data, initial=initial)

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        touched = self.asks(self.request.POST).changed_data
        terms = {name: fields[name] for name in ("plan", *OVERRIDES) if name in touched}
        reason = fields["reason"]
        if self.obj.change_plan(actor=staff_of(self.request), reason=reason, **terms):
            return self.changed(
                f"{self.obj} is on the plan {self.obj.plan} now, with the limits below.",
                history=f"Changed plan or limits: {reason}",
            )
        return self.unchanged(f"{self.obj} has these terms already; nothing changed.")


class ContactForm(forms.Form):
    """Whom to tell."""

    contact_email = forms.EmailField(
        label="Contact e-mail",
        required=False,
        help_text="Whom to tell of a leak or an expiry. The audit log notes that it changed, and "
        "holds neither address.",
    )


class ChangeContact(VerbPage):
    """Set the contact's address."""

    slug = "contact"
    label = "Change contact"
    permission = "accounts.change_organization"
    form_class = ContactForm

    def asks(self, data: Any = None) -> forms.Form:
        return self.form_class(data, initial={"contact_email": self.obj.contact_email})

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        email = fields["contact_email"]
        if self.obj.change_contact(actor=staff_of(self.request), email=email):
            return self.changed(
                f"The contact of {self.obj} is {email or 'nobody'} now.",
                history="Changed the contact e-mail.",
            )
        return self.unchanged("That is the contact already; nothing changed.")


def terms_of(organization: Organization) -> list[dict[str, Any]]:
    """Return each limit as it holds, and whether it was agreed on with this customer."""
    rows = []
    for name, label in zip(OVERRIDES, ("Requests a minute", "Tests", "Domains"), strict=True):
        own = getattr(organization, name)
        limit = getattr(organization.plan, name) if own is None else own
        rows.append({"label": label, "limit": limit, "is_own": own is not None})
    return rows
