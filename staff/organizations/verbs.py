"""What staff can do to an organization."""

from typing import Any, Final

from django import forms
from django.http import HttpResponse

from accounts.models import Organization, Plan
from accounts.models.organization import OVERRIDES
from staff.kit.verb_page import ReasonForm, VerbPage

MOST: Final = 2_147_483_647  # What the column holds.


class Suspend(VerbPage):
    """Refuse all its keys until it is resumed."""

    slug = "suspend"
    label = "Suspend"
    permission = "accounts.suspend_organization"
    destructive = True
    consequence = (
        "Every key of this organization is refused from its next request on, until the "
        "organization is resumed. No key is revoked."
    )
    too_late = "{} was suspended already"

    @classmethod
    def applies_to(cls, obj: Organization) -> bool:
        return obj.suspended_at is None

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse | None:
        if not self.obj.suspend(actor=self.actor, **fields):
            return None
        said = f"{self.obj} is suspended; its keys are refused from now on."
        return self.changed(said, history=f"Suspended: {fields['reason']}")


class Resume(VerbPage):
    """Let its keys work again."""

    slug = "resume"
    label = "Resume"
    permission = "accounts.suspend_organization"
    consequence = "Its keys that are neither revoked nor expired work again at once."
    too_late = "{} was not suspended"

    @classmethod
    def applies_to(cls, obj: Organization) -> bool:
        return obj.suspended_at is not None

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse | None:
        if not self.obj.resume(actor=self.actor, **fields):
            return None
        said = f"{self.obj} is resumed; its keys work again."
        return self.changed(said, history=f"Resumed: {fields['reason']}")


def override(label: str) -> forms.IntegerField:
    """A limit agreed on with this customer; only what a person changed is sent to the verb."""
    return forms.IntegerField(
        label=f"{label}, in place of the plan's",
        required=False,
        min_value=0,
        max_value=MOST,
        show_hidden_initial=True,
        help_text="Empty: the plan's.",
    )


class TermsForm(ReasonForm):
    """The plan and what was agreed on in place of it."""

    plan = forms.ModelChoiceField(Plan.objects.all(), empty_label=None, show_hidden_initial=True)
    requests_per_minute = override("Requests a minute")
    tests_limit = override("Tests")
    domains_limit = override("Domains")
    field_order = ("plan", *OVERRIDES, "reason")


class ChangePlan(VerbPage):
    """Set the plan and the overrides."""

    slug = "plan"
    label = "Change plan"
    permission = "accounts.change_organization_plan"
    form_class = TermsForm
    consequence = "Holds from the next request on. What is used already stays used."
    too_late = "{} has these terms already"

    def asks(self, data: Any = None) -> forms.Form:
        initial = {name: getattr(self.obj, name) for name in ("plan", *OVERRIDES)}
        return self.form_class(data, initial=initial)

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse | None:
        touched = {"reason", *self.asks(self.request.POST).changed_data}
        terms = {name: value for name, value in fields.items() if name in touched}
        if not self.obj.change_plan(actor=self.actor, **terms):
            return None
        said = f"{self.obj} is on the plan {self.obj.plan} now, with the limits below."
        return self.changed(said, history=f"Changed plan or limits: {fields['reason']}")


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
    too_late = "That is the contact of {} already"

    def asks(self, data: Any = None) -> forms.Form:
        return self.form_class(data, initial={"contact_email": self.obj.contact_email})

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse | None:
        email = fields["contact_email"]
        if not self.obj.change_contact(actor=self.actor, email=email):
            return None
        said = f"The contact of {self.obj} is {email or 'nobody'} now."
        return self.changed(said, history="Changed the contact e-mail.")
