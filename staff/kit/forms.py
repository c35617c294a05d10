"""What the forms of verbs share: a reason, lines of text, and how they say a refusal."""

from typing import Any

from django import forms

from web.errors.catalogue import CATALOGUE
from web.errors.refusals import Refusal
from web.input.text import clean_line


class LineField(forms.CharField):
    """One line of text under the rules of the verbs, whose refusals it says of its label."""

    widget = forms.TextInput(attrs={"class": "vTextField"})

    def clean(self, value: Any) -> str:
        text, most = super().clean(value), self.max_length or 0
        try:
            name = f"“{self.label}”"
            return clean_line(text, field=name, max_length=most, required=self.required)
        except Refusal as refusal:
            raise forms.ValidationError(said_of(refusal)) from None


class ReasonForm(forms.Form):
    """Why: kept in the audit log."""

    reason = LineField(
        label="Reason",
        max_length=200,
        help_text="Kept in the audit log, never shown to customers. No secrets or personal data.",
    )


def show_refusal(refusal: Refusal, form: forms.Form) -> None:
    """Put a refusal over the form, or beside its field in the form's words."""
    if refusal.field not in form.fields:
        form.add_error(None, refusal.message)
    else:
        label = f"“{form[refusal.field].label}”"
        said = [text.replace(refusal.field, label, 1) for text in said_of(refusal)]
        form.add_error(refusal.field, said)


def said_of(refusal: Refusal) -> list[str]:
    """Return what is wrong, and how to mend it if that says more than the first."""
    has_more = refusal.fix != CATALOGUE["parameter_invalid"].fix
    return [refusal.message, *([refusal.fix] if has_more else [])]
