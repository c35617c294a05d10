"""The forms that issue, change and revoke keys. The verbs hold the rules."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core import signing

from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.networks import MOST_NETWORKS
from apikeys.scopes import Scope
from apikeys.verbs.rules import LARGEST_SHARE
from staff.kit.forms import LineField, ReasonForm

NEW_KEY_ID = partial(signing.TimestampSigner, salt="staff.keys.new_key_id")


class EndField(forms.SplitDateTimeField):
    """A moment in UTC. A day without a time means the last second of the day."""

    widget = forms.SplitDateTimeWidget(
        date_attrs={"type": "date", "aria-label": "Expires on, date"},
        time_attrs={"type": "time", "step": "1", "aria-label": "Expires at, time"},
    )

    def clean(self, value: Any) -> Any:
        day, at = value
        return super().clean([day, at or (day and "23:59:59")])


class AddressesField(forms.CharField):
    """Addresses and networks, separated by line breaks or commas. None if there are none."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        networks = (super().to_python(value) or "").replace(",", " ").split()
        if len(networks) > MOST_NETWORKS:
            raise forms.ValidationError(f"At most {MOST_NETWORKS} addresses or networks.")
        return networks or None

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class KeyForm(ReasonForm):
    name = LineField(
        label="Name",
        max_length=100,
        help_text="What the key is for, such as “CI pipeline”. The customer sees it.",
    )
    expires_at = EndField(
        label="Expires (UTC)",
        required=False,
        help_text="Empty: never. Without a time: at the end of that day. At most ten years away.",
    )
    allowed_ips = AddressesField(
        label="Allowed addresses",
        required=False,
        help_text=f"Up to {MOST_NETWORKS} addresses or networks, one a line, such as 192.0.2.7, "
        "192.0.2.0/24 or 2001:db8::/32. From elsewhere it is refused (ip_not_allowed). Empty: any.",
    )
    max_tests_per_month = forms.IntegerField(
        label="Its own share of the plan's tests, a month",
        required=False,
        min_value=0,
        max_value=LARGEST_SHARE,
        help_text="Empty: all of the plan.",
    )
    field_order: tuple[str, ...] = ("name", "expires_at", "allowed_ips", "max_tests_per_month")


class IssueForm(KeyForm):
    # The new key's id, signed: a form sent twice (reload, double click) finds its key already made.
    key_id = forms.CharField(widget=forms.HiddenInput)
    organization = forms.ModelChoiceField(
        Organization.objects.all(),
        widget=AutocompleteSelect(ApiKey._meta.get_field("organization"), admin.site),
    )
    livemode = forms.TypedChoiceField(
        label="Mode",
        choices=[("live", "Live: real data, counts against the plan"), ("test", "Test: sandbox")],
        coerce=lambda mode: mode == "live",
        widget=forms.RadioSelect,
        initial="live",
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.value} · {scope.label}") for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
        help_text="The fewest it needs. A key with every scope can manage other keys.",
    )
    field_order = ("organization", "livemode", "name", "scopes", *KeyForm.field_order[1:])

    def clean_key_id(self) -> str:
        try:
            return NEW_KEY_ID().unsign(self.cleaned_data["key_id"])
        except signing.BadSignature:
            raise forms.ValidationError("This form has expired. Open it again.") from None


class CategoryForm(ReasonForm):
    """Why a key is revoked: a category that can be counted, and optional words."""

    category = forms.ChoiceField(
        label="Why",
        choices=[
            ("leaked", "Leaked: somebody else has it or may have it"),
            ("unused", "Unused: nobody needs it any more"),
            ("left", "Left: its holder, or the customer, has gone"),
            ("replaced", "Replaced by another key"),
            ("other", "Other: say which below"),
        ],
        widget=forms.RadioSelect,
    )
    reason = LineField(
        label="In your words",
        required=False,
        max_length=180,
        help_text=ReasonForm.base_fields["reason"].help_text,
    )
    field_order = ("category",)

    def clean(self) -> dict[str, Any]:
        """Make the reason of category and words. Require words if the category is "other"."""
        fields = super().clean() or {}
        category, words = fields.get("category"), fields.get("reason")
        if category == "other" and words == "":
            self.add_error("reason", "Say why: “other” alone helps nobody later.")
        fields["reason"] = f"{category}: {words}" if words else category
        return fields
