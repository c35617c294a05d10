"""Why staff revoke a key: a word that can be counted, and a text of staff's own."""

from typing import Any

from django import forms
from django.db import models


class Category(models.TextChoices):
    """The usual reasons."""

    LEAKED = "leaked", "Leaked: somebody else has it or may have it"
    UNUSED = "unused", "Unused: nobody needs it any more"
    LEFT = "left", "Left: its holder, or the customer, has gone"
    REPLACED = "replaced", "Replaced by another key"
    OTHER = "other", "Other: say which below"


class WhyForm(forms.Form):
    """The reason as it is stored: the category's word, a colon, the text."""

    category = forms.ChoiceField(
        label="Why", choices=Category.choices, widget=forms.RadioSelect, initial=None
    )
    text = forms.CharField(
        label="In your words",
        required=False,
        max_length=180,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="For staff: in the audit log, never shown to customers. No secrets or "
        "personal data.",
    )

    def clean(self) -> dict[str, Any]:
        """Ask for words where the category says nothing."""
        fields = super().clean() or {}
        if fields.get("category") == Category.OTHER and not fields.get("text"):
            self.add_error("text", "Say why: “other” alone helps nobody later.")
        return fields

    @staticmethod
    def reason(fields: dict[str, Any]) -> str:
        """Return what is stored."""
        text = fields["text"]
        return f"{fields['category']}: {text}" if text else str(fields["category"])
