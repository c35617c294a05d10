"""What staff say of a key, when they issue it and when they change it."""

from datetime import time
from typing import Any

from django import forms

from apikeys.networks import MOST_NETWORKS
from apikeys.verbs.rules import LARGEST_SHARE
from staff.kit.forms import LineField, ReasonForm


class EndField(forms.SplitDateTimeField):
    """A moment in UTC; a day alone is its last second."""

    widget = forms.SplitDateTimeWidget(
        date_attrs={"type": "date", "aria-label": "Expires on, date"},
        time_attrs={"type": "time", "step": "1", "aria-label": "Expires at, time"},
    )

    def clean(self, value: Any) -> Any:
        day, at = value
        return super().clean([day, at or (day and str(time(23, 59, 59)))])


class AddressesField(forms.CharField):
    """Addresses and networks, one a line or between commas; None if there are none."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        networks = (super().to_python(value) or "").replace(",", " ").split()
        if len(networks) > MOST_NETWORKS:
            raise forms.ValidationError(f"At most {MOST_NETWORKS} addresses or networks.")
        return networks or None

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class KeyForm(ReasonForm):
    """What can be changed of a key, besides its scopes; the rules are the verb's."""

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
    field_order: tuple[str, ...] = (
        "name",
        "expires_at",
        "allowed_ips",
        "max_tests_per_month",
        "reason",
    )
