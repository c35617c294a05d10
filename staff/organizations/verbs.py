"""What staff can do to an organization."""

from typing import Any, Final

from django import forms
from django.utils import timezone

from accounts.models import Meter, Organization, Plan
from accounts.models.organization import OVERRIDES
from accounts.models.usage import used_now
from staff.kit.forms import LineField, ReasonForm
from staff.kit.verb_page import VerbPage

MOST: Final = 2_147_483_647  # What the column holds.


class Suspend(VerbPage):
    """Refuse all its keys until it is resumed."""

    slug = "suspend"
    label = "Suspend"
    permission = "accounts.suspend_organization"
    destructive = True
    is_locked = False
    consequence = (
        "Every key of this organization is refused from its next request on, until the "
        "organization is resumed. No key is revoked."
    )

    @classmethod
    def obstacle(cls, obj: Organization) -> str:
        return "is suspended already" if obj.suspended_at else ""

    def carry_out(self, fields: dict[str, Any]) -> str:
        done = self.obj.suspend(actor=self.actor, **fields)
        return f"{self.obj} is suspended; its keys are refused from now on." if done else ""


class Resume(VerbPage):
    """Let its keys work again."""

    slug = "resume"
    label = "Resume"
    permission = "accounts.suspend_organization"
    consequence = "Its keys that are neither revoked nor expired work again at once."

    @classmethod
    def obstacle(cls, obj: Organization) -> str:
        return "" if obj.suspended_at else "is not suspended"

    def carry_out(self, fields: dict[str, Any]) -> str:
        done = self.obj.resume(actor=self.actor, **fields)
        return f"{self.obj} is resumed; its keys work again." if done else ""


def override(label: str) -> forms.IntegerField:
    """A limit agreed on with this customer."""
    return forms.IntegerField(
        label=f"{label}, in place of the plan's",
        required=False,
        min_value=0,
        max_value=MOST,
        help_text="Empty: the plan's.",
    )


class TermsForm(ReasonForm):
    """The plan and what was agreed on in place of it."""

    plan = forms.ModelChoiceField(Plan.objects.all(), empty_label=None)
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

    def says(self) -> list[str]:
        whose, now = {"organization_id": self.obj.pk, "livemode": True}, timezone.now()
        monthly, once = (
            used_now(**whose, tests_renew=r, now=now)[Meter.TESTS] for r in (True, False)
        )
        tests = (
            f"Tests used so far: {monthly:,} for a plan that renews each month, {once:,} for one "
        )
        tests += "that never does, such as Free."
        return ["Holds from the next request on. Domains stay counted.", tests]

    def carry_out(self, fields: dict[str, Any]) -> str:
        done = self.obj.change_plan(actor=self.actor, **fields)
        said = f"{self.obj} is on the plan {self.obj.plan} now, with the limits below."
        return said if done else ""


class NameForm(ReasonForm):
    """The new name."""

    name = LineField(label="Name", max_length=100)
    field_order = ("name",)


class Rename(VerbPage):
    """Give it another name."""

    slug = "rename"
    label = "Rename"
    permission = "accounts.change_organization"
    form_class = NameForm
    consequence = "The customer sees its name. Its id, keys and plan stay as they are."

    def carry_out(self, fields: dict[str, Any]) -> str:
        before = str(self.obj)
        done = self.obj.rename(actor=self.actor, **fields)
        return f"{before} is called {self.obj.name} now." if done else ""


class ContactForm(ReasonForm):
    """Whom to tell."""

    contact_email = forms.EmailField(
        label="Contact e-mail",
        required=False,
        help_text="Whom to tell of a leak or an expiry. The audit log notes that it changed, and "
        "holds neither address.",
    )
    field_order = ("contact_email",)


class ChangeContact(VerbPage):
    """Set the contact's address."""

    slug = "contact"
    label = "Change contact"
    permission = "accounts.change_organization"
    form_class = ContactForm

    def carry_out(self, fields: dict[str, Any]) -> str:
        email = fields["contact_email"]
        done = self.obj.change_contact(actor=self.actor, email=email, reason=fields["reason"])
        return f"The contact of {self.obj} is {email or 'nobody'} now." if done else ""
