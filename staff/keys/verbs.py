"""Rotating and revoking a key. A stale tab changes nothing: forms say what they stand on."""

import json
from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.http import HttpResponse
from django.template.defaultfilters import pluralize
from django.utils.crypto import salted_hmac

from apikeys.models import ApiKey
from apikeys.verbs.revoke import Cascade, revoke, revoke_with_all_it_made, would_revoke
from apikeys.verbs.rotate import finish_rotation, rotate
from audit.models import AuditLog
from staff.kit.verb_page import VerbPage, render
from web.errors.refusals import Refusal
from web.input.moments import format_moment


class SeenPage(VerbPage):
    """A verb that is only carried out on a key that still is as the page showed it."""

    form_class: ClassVar[type[forms.Form]] = forms.Form
    sees: ClassVar[str]  # The attribute of the key that the decision stands on.

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return obj.is_active

    def asks(self, data: Any = None) -> forms.Form:
        form = super().asks(data)
        form.fields["seen"] = forms.CharField(widget=forms.HiddenInput, required=False)
        form.initial["seen"] = self.token()
        return form

    def token(self) -> str:
        """Return a digest of what the decision stands on, as it is now."""
        shown = json.dumps(getattr(self.obj, self.sees))
        return salted_hmac(f"apikeys.seen.{self.sees}", shown).hexdigest()

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        # Under the lock of the verb, which no other verb can hold between this look and the change.
        with AuditLog.of(self.obj.organization_id):
            self.obj.refresh_from_db()
            if not self.obj.is_active:
                return self.unchanged(f"{self.obj} is {self.obj.status}")
            if self.request.POST.get("seen") != self.token():
                return self.unchanged()
            return super().post(*args, **kwargs)


class RotateForm(forms.Form):
    """How long the old secret lives on."""

    overlap = forms.TypedChoiceField(
        label="The old secret works on for",
        choices=[
            ("86400", "24 hours: the customer puts the new one in place meanwhile"),
            ("604800", "7 days"),
            ("3600", "1 hour"),
            ("0", "Not at all: it ends now, because somebody else may have it"),
        ],
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        widget=forms.RadioSelect,
        initial="86400",
    )


class Rotate(SeenPage):
    """Give a key a new secret; the page that shows it is the answer to the POST."""

    slug = "rotate"
    label = "Rotate"
    permission = "apikeys.rotate_apikey"
    takes_recent_password = True
    form_class = RotateForm
    sees = "newest_locator"
    consequence = (
        "The key keeps its id, name, scopes and history, and gets a new secret. It is "
        "shown on the next page, once, and to nobody else: hand it over safely."
    )
    too_late = "{} was rotated already since that page was opened"

    def says(self) -> list[str]:
        if not (retiring := self.obj.retiring_locator):
            return super().says()
        newest, _ = self.obj.newest_and_retiring()
        happens = f"the secret {retiring} ends at once"
        if newest is None or newest.last_used_at is None:
            happens = "its new secret was never used and is replaced, and "
            happens += f"{retiring} ends no later than it would"
        return [*super().says(), f"A rotation is still open: {happens}."]

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        plaintext = rotate(self.obj, actor=self.actor, overlap=fields["overlap"])
        self.model_admin.log_change(self.request, self.obj, "Rotated.")
        return render(
            self.request,
            self.model_admin,
            "admin/apikeys/apikey/issued.html",
            title=f"Rotated {self.obj}",
            api_key=self.obj,
            plaintext=plaintext,
        )


class FinishRotation(SeenPage):
    """End the old secret before its time."""

    slug = "finish-rotation"
    label = "Finish rotation"
    permission = "apikeys.rotate_apikey"
    destructive = True
    sees = "retiring_locator"
    too_late = "No rotation of {} is open as it was"

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return bool(obj.retiring_locator)

    def says(self) -> list[str]:
        _, old = self.obj.newest_and_retiring()
        if old is None:
            return []
        used = "was never used"
        if old.last_used_at:
            address = old.last_used_ip or "an unknown address"
            used = f"was last used {format_moment(old.last_used_at)} from {address}"
        said = "It ends at once: requests that still send it are refused. The new one works on."
        return [f"The old secret {old.locator} {used}.", said]

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse | None:
        if not finish_rotation(self.obj, actor=self.actor):
            return None
        said = f"The old secret of {self.obj} has ended."
        return self.changed(said, history="Finished the rotation.")


class WhyForm(forms.Form):
    """Why a key is revoked: a word that can be counted, a colon, a text of staff's own."""

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
    text = forms.CharField(
        label="In your words",
        required=False,
        max_length=180,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="For staff: in the audit log, never shown to customers. No secrets or "
        "personal data.",
    )

    def clean(self) -> dict[str, Any]:
        """Put `reason` together; ask for words where the category says nothing."""
        fields = super().clean() or {}
        category, text = fields.get("category"), fields.get("text")
        if category == "other" and not text:
            self.add_error("text", "Say why: “other” alone helps nobody later.")
        fields["reason"] = f"{category}: {text}" if text else category
        return fields


class RevokeForm(WhyForm):
    """Why, and how far."""

    cascade = forms.BooleanField(
        required=False,
        label_suffix="",
        help_text="Choose this where somebody else had the key: they may have made others with it.",
    )


class Revoke(VerbPage):
    """Stop a key at once and for good."""

    slug = "revoke"
    label = "Revoke key"
    permission = "apikeys.revoke_apikey"
    destructive = True
    form_class: ClassVar[type[forms.Form]] = RevokeForm
    template_name = "admin/apikeys/apikey/revoke.html"
    consequence = "The very next request with this key is refused. This cannot be undone."
    too_late = "{} was revoked already"

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return obj.revoked_at is None

    def asks(self, data: Any = None) -> forms.Form:
        form, would = super().asks(data), would_revoke(self.obj)
        if would == Cascade(0, 0):
            form.fields.pop("cascade", None)
        elif "cascade" in form.fields:
            form.fields["cascade"].label = f"Revoke what it made, too: {counted(would)}"
        return form

    def page(self, form: forms.Form, **context: Any) -> HttpResponse:
        return super().page(form, secrets=self.obj.secrets.filter(ended_at=None), **context)

    def show(self, refusal: Refusal, form: forms.Form) -> None:
        form.add_error("text", refusal.message)

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse | None:
        reason = fields["reason"]
        if fields.get("cascade"):
            return self.cascade(reason)
        if not revoke(self.obj, actor=self.actor, reason=reason):
            return None
        said = f"{self.obj} is revoked; its next request is refused."
        return self.changed(said, history=f"Revoked: {reason}")

    def cascade(self, reason: str) -> HttpResponse:
        did = revoke_with_all_it_made(self.obj, actor=self.actor, reason=reason)
        said = f"{self.obj} is revoked, and with it {counted(did)}."
        return self.changed(said, history=f"Revoked with all it made: {reason}")


class RevokeMade(Revoke):
    """Revoke what a key made that is revoked itself already."""

    slug = "revoke-made"
    label = "Revoke what it made"
    form_class = WhyForm
    too_late = "Nothing that {} made is left"

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return obj.revoked_at is not None and would_revoke(obj) != Cascade(0, 0)

    def says(self) -> list[str]:
        return [f"Revokes at once and for good: {counted(would_revoke(self.obj))}."]

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse | None:
        return self.cascade(fields["reason"]) if self.applies_to(self.obj) else None


def counted(cascade: Cascade) -> str:
    """Say how many keys and secrets go."""
    keys, secrets = cascade.keys_revoked, cascade.secrets_ended
    return f"{keys} key{pluralize(keys)} revoked, {secrets} secret{pluralize(secrets)} ended"
