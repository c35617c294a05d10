"""Forms: a reason, a line of text, refusals beside their fields, and no key shown again."""

from typing import Any, Final

from django import forms
from django.forms.renderers import DjangoTemplates
from django.forms.utils import ErrorList

from web.errors.catalogue import CATALOGUE
from web.errors.refusals import Refusal
from web.input.text import clean_line
from web.redaction import holds_key

HOLDS_KEY: Final = "This holds an API key: leave it out."


class QuietField(forms.BoundField):
    """Shows no value that holds an API key: the refused form would carry the key on."""

    def value(self) -> Any:
        value = super().value()
        return "" if holds_key(str(value)) else value

    @property
    def errors(self) -> ErrorList:
        """Return the errors without keys: some of Django's quote what was typed."""
        errors: ErrorList = super().errors
        errors.data = [HOLDS_KEY if holds_key(str(error)) else error for error in errors]
        return errors


class Renderer(DjangoTemplates):
    """Django's, for the setting FORM_RENDERER, so that no form of ours can forget QuietField."""

    bound_field_class = QuietField


class LineField(forms.CharField):
    """A line of text, checked as the verbs check theirs, with the label in the errors."""

    widget = forms.TextInput(attrs={"class": "vTextField"})

    def clean(self, value: Any) -> str:
        text, most, name = super().clean(value), self.max_length or 0, f"“{self.label}”"
        try:
            return clean_line(text, field=name, max_length=most, required=self.required)
        except Refusal as refusal:
            raise forms.ValidationError(said_of(refusal)) from None


class ReasonForm(forms.Form):
    reason = LineField(
        label="Reason",
        max_length=200,
        help_text="Kept in the audit log, never shown to customers. No secrets or personal data.",
    )


def form_of(**fields: forms.Field) -> type[forms.Form]:
    """Return the class of a form of these fields and, last, a reason."""
    return type("VerbForm", (forms.Form,), {**fields, **ReasonForm.base_fields})


def show_refusal(refusal: Refusal, form: forms.Form) -> None:
    """Add each fault to the form's errors: beside its field with the field's label, else on top."""
    for fault in (refusal, *refusal.others):
        if fault.field not in form.fields:
            form.add_error(None, fault.message)
        else:
            label = f"“{form[fault.field].label}”"
            said = [text.replace(fault.field, label, 1) for text in said_of(fault)]
            form.add_error(fault.field, said)


def said_of(refusal: Refusal) -> list[str]:
    """Return what is wrong, and how to mend it if the refusal has a text of its own for that."""
    has_more = refusal.fix != CATALOGUE["parameter_invalid"].fix
    return [refusal.message, *([refusal.fix] if has_more else [])]
