"""The form of a dry run: it carries the keys that were listed, and no others."""

import re
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

MOST_AT_ONCE: Final = 5000
KEY_ID: Final = re.compile(r"key_[0-9A-Za-z]{12,36}")


class KeysField(forms.CharField):
    """The ids of the keys that a dry run listed: just these are meant, whatever comes after."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        ids = list(dict.fromkeys(str(value or "").split()))
        if len(ids) > MOST_AT_ONCE or not all(map(KEY_ID.fullmatch, ids)):
            raise ValidationError("This form is not ours; select the keys anew.")
        return ids

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else " ".join(value or [])


class BulkForm(forms.Form):
    """Carries the keys that its dry run listed."""

    keys = KeysField(required=False)

    def listed(self) -> list[str]:
        """Return every key that the dry run listed, chosen or not. Raises ValidationError."""
        fields = {n: f for n, f in self.fields.items() if isinstance(f, KeysField)}
        return [id_ for name, field in fields.items() for id_ in field.clean(self.data.get(name))]

    def clean(self) -> dict[str, Any]:
        """Ask for a key at least."""
        fields = super().clean() or {}
        if not fields.get("keys") and "keys" not in self.errors:
            self.add_error(None, "Choose the managing keys, too, or go back: there are no others.")
        return fields
