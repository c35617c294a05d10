"""The verbs of an organization: suspend and resume, change its plan, name and contacts."""

from functools import partial
from typing import Any, Final

from django import forms
from django.utils import timezone

from accounts.models import Meter, OnLeak, Organization, Plan
from accounts.models.organization import OVERRIDES
from accounts.models.usage import used_now
from notices.contacts import LONGEST, MOST, change_contacts, contacts_of
from staff.kit.forms import LineField, form_of
from staff.kit.verb_page import VerbPage

LARGEST: Final = 2_147_483_647  # The largest number that the column stores.
# The labels of limits that replace the plan's for one customer.
LIMITS: Final = dict(zip(OVERRIDES, ("Requests a minute", "Tests", "Domains"), strict=True))


class Suspend(VerbPage):
    slug = "suspend"
    label = "Suspend"
    permission = "accounts.suspend_organization"
    destructive = True
    is_locked = False
    consequence = (
        "Every key of this organization is refused from its next request on, until the "
        "organization is resumed. No key is revoked."
    )
    obstacle = staticmethod(lambda obj: "is suspended already" if obj.suspended_at else "")
    verb = staticmethod(Organization.suspend)
    done = "{0} is suspended; its keys are refused from now on."


class Resume(VerbPage):
    slug = "resume"
    label = "Resume"
    permission = "accounts.suspend_organization"
    consequence = "Its keys that are neither revoked nor expired work again at once."
    obstacle = staticmethod(lambda obj: "" if obj.suspended_at else "is not suspended")
    verb = staticmethod(Organization.resume)
    done = "{0} is resumed; its keys work again."


Limit: Final = partial(forms.IntegerField, required=False, min_value=0, max_value=LARGEST)


class ChangePlan(VerbPage):
    slug = "plan"
    label = "Change plan"
    permission = "accounts.change_organization_plan"
    form_class = form_of(
        plan=forms.ModelChoiceField(Plan.objects.all(), empty_label=None),
        **{
            name: Limit(label=f"{label}, in place of the plan's", help_text="Empty: the plan's.")
            for name, label in LIMITS.items()
        },
    )
    verb = staticmethod(Organization.change_plan)
    done = "{0} is now on the plan {0.plan}."
    consequence = "Takes effect with the next request. The count of domains stays as it is."

    def says(self) -> list[str]:
        live, now = {"organization_id": self.obj.pk, "livemode": True}, timezone.now()
        used = [used_now(**live, tests_renew=r, now=now)[Meter.TESTS] for r in (True, False)]
        tests = f"Tests used so far: {used[0]:,} for a plan that renews each month"
        return [*super().says(), f"{tests}, {used[1]:,} for one that never does, such as Free."]


class Rename(VerbPage):
    slug = "rename"
    label = "Rename"
    permission = "accounts.change_organization"
    form_class = form_of(name=LineField(label="Name", max_length=100))
    verb = staticmethod(Organization.rename)
    done = "{0} has its new name."
    consequence = "The customer sees the name. Id, keys and plan stay as they are."


class ChangeContacts(VerbPage):
    slug = "contacts"
    label = "Change contacts"
    permission = "accounts.change_organization"
    form_class = form_of(
        contacts=forms.CharField(
            required=False,
            max_length=MOST * LONGEST,
            widget=forms.Textarea(attrs={"rows": MOST}),
            help_text=f"One address a line, at most {MOST}: the whole list. The audit log holds "
            "them masked.",
        )
    )
    consequence = (
        "Each address is told of leaks and ends from now on; make sure that it is the customer's. "
        "Any other is taken off the list, those that are not confirmed included. The addresses "
        "from before get a mail about this."
    )

    def asks(self, data: Any = None) -> forms.Form:
        # Only verified ones: a thief may have added another, and saving would verify it.
        verified = contacts_of(self.obj.pk).exclude(verified_at=None)
        listed = "\n".join(verified.values_list("email", flat=True))
        return self.form_class(data, initial={"contacts": listed})

    def carry_out(self, fields: dict[str, Any]) -> str:
        lines = filter(None, map(str.strip, fields["contacts"].splitlines()))
        emails, reason = list(lines), fields["reason"]
        done = change_contacts(self.obj, actor=self.actor, contacts=emails, reason=reason)
        # Without the addresses: a message is kept in a cookie.
        return f"{self.obj} has its new contacts: {len(emails)}." if done else ""


class ChangeLeakPolicy(VerbPage):
    slug = "leak_policy"
    label = "Change leak policy"
    permission = "accounts.change_organization"
    form_class = form_of(on_leak=forms.ChoiceField(label="If a key leaks", choices=OnLeak.choices))
    verb = staticmethod(Organization.change_leak_policy)
    done = "{0} has its new policy for leaks."
    consequence = (
        "Revoke: a key that is reported as leaked stops at once. Notify: the contacts are told, "
        "and the key works on; without a confirmed contact, or without mail, it is revoked all the "
        "same, and the first contact who confirms sets it back to Revoke. The contacts get a mail."
    )


ORGANIZATION_VERBS: Final = (ChangePlan, Rename, ChangeContacts, ChangeLeakPolicy, Resume, Suspend)
