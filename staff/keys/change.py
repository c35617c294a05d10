"""Changing what a key may do: fewer scopes, other addresses."""

from typing import Any

from django import forms
from django.http import HttpResponse

from apikeys.models import ApiKey
from apikeys.networks import MOST_NETWORKS
from apikeys.scopes import is_unrestricted
from apikeys.verbs.change import change
from apikeys.verbs.narrow import Narrowing
from staff.keys.verbs import SeenPage
from web.errors.refusals import Refusal


class ChangeForm(forms.Form):
    """Why: where staff want to say it."""

    reason = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="For staff: in the audit log, never shown to customers.",
    )
    field_order = ("scopes", "allowed_ips", "reason")


class NarrowForm(ChangeForm):
    """Which of its scopes a key keeps."""

    scopes = forms.MultipleChoiceField(
        label="It keeps",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Leave it one at least, or revoke the key."},
    )


class Narrow(SeenPage):
    """Take scopes away; none can be added here."""

    slug = "narrow"
    label = "Narrow scopes"
    permission = "apikeys.narrow_apikey"
    form_class = NarrowForm
    sees = "scopes"
    consequence = "What is taken away is refused from the next request on (insufficient_scope)."

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return obj.is_active and len(obj.scopes) > 1

    def says(self) -> list[str]:
        manages = "It holds all eight scopes, so it manages other keys: with fewer it cannot."
        return [*super().says(), *([manages] if is_unrestricted(self.obj.scopes) else [])]

    def asks(self, data: Any = None) -> forms.Form:
        form = super().asks(data)
        scopes: Any = form.fields["scopes"]
        scopes.choices = [(row["scope"], _described(row)) for row in scopes_of(self.obj)]
        scopes.initial = Narrowing.of(self.obj).keeps
        return form

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        scopes, reason = fields["scopes"], fields["reason"]
        if not change(self.obj, actor=self.actor, scopes=scopes, reason=reason):
            return self.unchanged(f"{self.obj} keeps all it had")
        kept = ", ".join(self.obj.scopes)
        return self.changed(f"{self.obj} holds now: {kept}.", history=f"Narrowed to {kept}")


class AddressesForm(ChangeForm):
    """From where a key may be used."""

    allowed_ips = forms.CharField(
        label="Allowed addresses",
        required=False,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text=f"Up to {MOST_NETWORKS} addresses or networks, one a line, such as 192.0.2.7, "
        "192.0.2.0/24 or 2001:db8::/32. Empty: any address.",
    )

    def clean_allowed_ips(self) -> list[str] | None:
        """Read a network a line, or comma."""
        return self.cleaned_data["allowed_ips"].replace(",", " ").split() or None


class Addresses(SeenPage):
    """Bind a key to addresses, or free it."""

    slug = "addresses"
    label = "Change addresses"
    permission = "apikeys.narrow_apikey"
    form_class = AddressesForm
    sees = "allowed_ips"
    consequence = "From elsewhere the key is refused from its next request on (ip_not_allowed)."

    def says(self) -> list[str]:
        seen = sorted({s.last_used_ip for s in self.obj.secrets.all() if s.last_used_ip})
        used = f"Its secrets were last used from {', '.join(seen[:10])}."
        return [*super().says(), *([used] if seen else [])]

    def asks(self, data: Any = None) -> forms.Form:
        form = super().asks(data)
        form.fields["allowed_ips"].initial = "\n".join(self.obj.allowed_ips or [])
        return form

    def show(self, refusal: Refusal, form: forms.Form) -> None:
        super().show(refusal, form)
        if refusal.field == "allowed_ips":
            form.add_error("allowed_ips", refusal.fix)

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        networks, reason = fields["allowed_ips"], fields["reason"]
        if not change(self.obj, actor=self.actor, allowed_ips=networks, reason=reason):
            return self.unchanged(f"{self.obj} may be used from where it was")
        allowed = ", ".join(self.obj.allowed_ips or ["any address"])
        said = f"{self.obj} may now be used from {allowed}."
        return self.changed(said, history=f"Allowed from {allowed}")


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
