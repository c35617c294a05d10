"""Changing what a key may do and what it is called. Scopes can only be taken away."""

from typing import Any

from django import forms

from apikeys.models import ApiKey
from apikeys.networks import MOST_NETWORKS
from apikeys.scopes import is_unrestricted
from apikeys.verbs.change import change
from apikeys.verbs.narrow import Narrowing
from apikeys.verbs.rules import LARGEST_SHARE
from staff.keys.verbs import KeyVerb
from staff.kit.forms import LineField, ReasonForm


class EndField(forms.SplitDateTimeField):
    """A moment in UTC; a day alone is its last second."""

    widget = forms.SplitDateTimeWidget(
        date_attrs={"type": "date", "aria-label": "Expires on, date"},
        time_attrs={"type": "time", "step": "1", "aria-label": "Expires at, time"},
    )

    def clean(self, value: Any) -> Any:
        day, at = value
        return super().clean([day, at or (day and "23:59:59")])


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
    field_order: tuple[str, ...] = ("name", "expires_at", "allowed_ips", "max_tests_per_month")


class ChangeKey(KeyVerb):
    """Change a key's name, end, addresses and share."""

    slug = "edit"
    label = "Change key"
    permission = "apikeys.narrow_apikey"
    form_class = KeyForm
    consequence = "Holds from its next request on. What is left as it is stays so."

    def says(self) -> list[str]:
        seen = sorted({s.last_used_ip for s in self.obj.secrets.all() if s.last_used_ip})
        used = f"Its secrets were last used from {', '.join(seen[:10])}."
        return [*super().says(), *([used] if seen else [])]

    def carry_out(self, fields: dict[str, Any]) -> str:
        changed = {str(self.form[name].label) for name in self.form.changed_data} - {"Reason"}
        done = change(self.obj, actor=self.actor, **fields)
        return f"{self.obj} is changed: {', '.join(sorted(changed))}." if done else ""


class NarrowForm(ReasonForm):
    """Which of its scopes a key keeps."""

    scopes = forms.MultipleChoiceField(
        label="It keeps",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Leave it one at least, or revoke the key."},
    )
    field_order = ("scopes",)


class Narrow(KeyVerb):
    """Take scopes away; none can be added here."""

    slug = "narrow"
    label = "Narrow scopes"
    permission = "apikeys.narrow_apikey"
    form_class = NarrowForm
    consequence = "What is taken away is refused from the next request on (insufficient_scope)."

    @classmethod
    def obstacle(cls, obj: ApiKey) -> str:
        return super().obstacle(obj) or ("holds one scope only" if len(obj.scopes) == 1 else "")

    def says(self) -> list[str]:
        manages = "It holds every scope, so it manages other keys: with fewer it cannot."
        return [*super().says(), *([manages] if is_unrestricted(self.obj.scopes) else [])]

    def asks(self, data: Any = None) -> forms.Form:
        form = super().asks(data)
        scopes: Any = form.fields["scopes"]
        scopes.choices = [(row["scope"], _described(row)) for row in scopes_of(self.obj)]
        form.initial["scopes"] = Narrowing.of(self.obj).keeps
        return form

    def carry_out(self, fields: dict[str, Any]) -> str:
        done = change(self.obj, actor=self.actor, **fields)
        return f"{self.obj} holds now: {', '.join(self.obj.scopes)}." if done else ""


def scopes_of(api_key: ApiKey) -> list[dict[str, Any]]:
    """Return each scope with the last day on which it was exercised."""
    grants = {grant.scope: grant for grant in api_key.grants.all()}
    return [{"scope": scope, "grant": grants.get(scope)} for scope in api_key.scopes]


def _described(row: dict[str, Any]) -> str:
    grant = row["grant"]
    if grant is None:
        return str(row["scope"])
    if grant.last_exercised_on is not None:
        return f"{row['scope']}, last exercised {grant.last_exercised_on}"
    return f"{row['scope']}, never exercised since {grant.granted_at:%Y-%m-%d}"
