"""Revoking a key, alone or with all it made."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.template.defaultfilters import pluralize

from accounts.staff import VerbPage, staff_of
from apikeys.admin.reasons import WhyForm
from apikeys.models import ApiKey
from apikeys.models.cascade import Cascade, revoke_with_all_it_made, would_revoke
from reachscore.api.refusals import Refusal


class RevokeForm(WhyForm):
    """Why, and how far."""

    cascade = forms.BooleanField(required=False)


class Revoke(VerbPage):
    """Stop a key at once and for good."""

    slug = "revoke"
    label = "Revoke key"
    permission = "apikeys.revoke_apikey"
    destructive = True
    form_class = RevokeForm
    template_name = "admin/apikeys/apikey/revoke.html"

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return obj.revoked_at is None

    def says(self) -> list[str]:
        return ["The very next request with this key is refused. This cannot be undone."]

    def asks(self, data: Any = None) -> forms.Form:
        form = super().asks(data)
        would = would_revoke(self.obj)
        if would == Cascade(0, 0):
            del form.fields["cascade"]
        else:
            cascade = form.fields["cascade"]
            cascade.label = f"Revoke what it made, too: {counted(would)}"
            cascade.label_suffix = ""
            cascade.help_text = (
                "Choose this where somebody else had the key: they may have made others with it."
            )
        return form

    def page(self, form: forms.Form, **context: Any) -> HttpResponse:
        return super().page(form, secrets=self.obj.secrets.filter(ended_at=None), **context)

    def show(self, refusal: Refusal, form: forms.Form) -> None:
        form.add_error("text", refusal.message)

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        actor, reason = staff_of(self.request), WhyForm.reason(fields)
        if fields.get("cascade"):
            return self.cascade(reason)
        if self.obj.revoke(actor=actor, reason=reason):
            return self.changed(
                f"{self.obj} is revoked; its next request is refused.",
                history=f"Revoked: {reason}",
            )
        return self.unchanged(self.too_late())

    def cascade(self, reason: str) -> HttpResponse:
        did = revoke_with_all_it_made(self.obj, actor=staff_of(self.request), reason=reason)
        return self.changed(
            f"{self.obj} is revoked, and with it {counted(did)}.",
            history=f"Revoked with all it made: {reason}",
        )

    def too_late(self) -> str:
        return f"{self.obj} was revoked already; nothing changed."


class RevokeMade(Revoke):
    """Revoke what a key made that is revoked itself already."""

    slug = "revoke-made"
    label = "Revoke what it made"

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return obj.revoked_at is not None and would_revoke(obj) != Cascade(0, 0)

    def says(self) -> list[str]:
        return [f"Revokes at once and for good: {counted(would_revoke(self.obj))}."]

    def asks(self, data: Any = None) -> forms.Form:
        return WhyForm(data)

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        if not self.applies_to(self.obj):
            return self.unchanged(self.too_late())
        return self.cascade(WhyForm.reason(fields))

    def too_late(self) -> str:
        return f"Nothing that {self.obj} made is left; nothing changed."


def counted(cascade: Cascade) -> str:
    """Say how many keys and secrets go."""
    keys, secrets = cascade.keys_revoked, cascade.secrets_ended
    return f"{keys} key{pluralize(keys)} revoked, {secrets} secret{pluralize(secrets)} ended"
