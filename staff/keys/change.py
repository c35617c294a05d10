"""Changing what a key may do and what it is called. Scopes can only be taken away."""

from typing import Any

from django import forms

from apikeys.models import ApiKey
from apikeys.scopes import is_unrestricted
from apikeys.verbs.change import change
from apikeys.verbs.narrow import Narrowing
from staff.keys.key_form import KeyForm
from staff.keys.verbs import KeyVerb
from staff.kit.forms import ReasonForm


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
