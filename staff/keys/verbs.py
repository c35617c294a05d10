"""The verbs of a key: rotate, change, narrow and revoke."""

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.http import HttpResponse
from django.template.defaultfilters import pluralize

from apikeys.models import ApiKey, ScopeGrant
from apikeys.scopes import is_unrestricted
from apikeys.verbs.change import change
from apikeys.verbs.narrow import Narrowing
from apikeys.verbs.revoke import Cascade, revoke, revoke_with_all_it_made, would_revoke
from apikeys.verbs.rotate import finish_rotation, rotate
from staff.keys.forms import CategoryForm, KeyForm
from staff.kit.forms import form_of
from staff.kit.verb_page import VerbPage
from staff.login.pages import page
from web.input.moments import format_moment


class KeyVerb(VerbPage):
    """A verb for keys that are neither revoked nor expired."""

    obstacle = staticmethod(lambda obj: "" if obj.is_active else f"is {obj.status}")


class Rotate(KeyVerb):
    """Give a key a new secret. The answer to the POST shows it, and nothing stores it."""

    slug = "rotate"
    label = "Rotate"
    permission = "apikeys.rotate_apikey"
    takes_recent_password = True
    form_class = form_of(
        overlap=forms.TypedChoiceField(
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
    )
    consequence = (
        "The key keeps its id, name, scopes and history, and gets a new secret. It is "
        "shown on the next page, once, and to nobody else: hand it over safely."
    )

    def says(self) -> list[str]:
        if not (retiring := self.obj.retiring_locator):
            return super().says()
        newest, _ = self.obj.newest_and_retiring()
        happens = f"the secret {retiring} ends at once"
        if newest is None or newest.last_used_at is None:
            new = "was never used and is replaced" if newest else "has ended"
            happens = f"its new secret {new}, and {retiring} ends no later than it would"
        return [*super().says(), f"A rotation is still open: {happens}."]

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        plaintext = rotate(self.obj, actor=self.actor, **fields)
        shown = {"title": f"Rotated {self.obj}", "api_key": self.obj, "plaintext": plaintext}
        return page(self.request, "apikeys/apikey/issued", opts=self.model_admin.opts, **shown)


class FinishRotation(KeyVerb):
    slug = "finish-rotation"
    label = "Finish rotation"
    permission = "apikeys.rotate_apikey"
    destructive = True
    verb = staticmethod(finish_rotation)
    done = "The old secret of {0} has ended."

    @staticmethod
    def obstacle(obj: ApiKey) -> str:
        return KeyVerb.obstacle(obj) or ("" if obj.retiring_locator else "has no open rotation")

    def says(self) -> list[str]:
        newest, old = self.obj.newest_and_retiring()
        if old is None:
            return []
        used = "was never used"
        if old.last_used_at:
            address = old.last_used_ip or "an unknown address"
            used = f"was last used {format_moment(old.last_used_at)} from {address}"
        left = "The new one works on." if newest else "No other secret is left: rotate then."
        said = f"It ends at once: requests that still send it are refused. {left}"
        return [f"The old secret {old.locator} {used}.", said]


class ChangeKey(KeyVerb):
    slug = "edit"
    label = "Change key"
    permission = "apikeys.narrow_apikey"
    form_class = KeyForm
    consequence = "Takes effect with the key's next request. Fields left alone do not change."

    def says(self) -> list[str]:
        seen = sorted({s.last_used_ip for s in self.obj.secrets.all() if s.last_used_ip})
        used = f"Its secrets were last used from {', '.join(seen[:10])}."
        return [*super().says(), *([used] if seen else [])]

    def carry_out(self, fields: dict[str, Any]) -> str:
        changed = {str(self.form[name].label) for name in self.form.changed_data} - {"Reason"}
        done = change(self.obj, actor=self.actor, **fields)
        return f"{self.obj} is changed: {', '.join(sorted(changed))}." if done else ""


class Narrow(KeyVerb):
    """Take scopes from a key. Nothing here can add one."""

    slug = "narrow"
    label = "Narrow scopes"
    permission = "apikeys.narrow_apikey"
    form_class = form_of(
        scopes=forms.MultipleChoiceField(
            label="It keeps",
            widget=forms.CheckboxSelectMultiple,
            error_messages={"required": "Leave it one at least, or revoke the key."},
        )
    )
    consequence = "What is taken away is refused from the next request on (insufficient_scope)."
    obstacle = staticmethod(
        lambda obj: KeyVerb.obstacle(obj) or ("" if obj.scopes[1:] else "holds one scope only")
    )

    def says(self) -> list[str]:
        manages = "It holds every scope, so it can manage other keys. With fewer scopes it cannot."
        return [*super().says(), *([manages] if is_unrestricted(self.obj.scopes) else [])]

    def asks(self, data: Any = None) -> forms.Form:
        form = super().asks(data)
        scopes: Any = form.fields["scopes"]
        scopes.choices = [(scope, _described(scope, grant)) for scope, grant in scopes_of(self.obj)]
        form.initial["scopes"] = Narrowing.of(self.obj).keeps
        return form

    def carry_out(self, fields: dict[str, Any]) -> str:
        done = change(self.obj, actor=self.actor, **fields)
        return f"{self.obj} holds now: {', '.join(self.obj.scopes)}." if done else ""


def scopes_of(api_key: ApiKey) -> list[tuple[str, ScopeGrant | None]]:
    """Return each scope with its grant, which knows the last day on which it was exercised."""
    grants = {grant.scope: grant for grant in api_key.grants.all()}
    return [(scope, grants.get(scope)) for scope in api_key.scopes]


def _described(scope: str, grant: ScopeGrant | None) -> str:
    if grant and grant.last_exercised_on:
        return f"{scope}, last exercised {grant.last_exercised_on}"
    return f"{scope}, never exercised since {grant.granted_at:%Y-%m-%d}" if grant else scope


class Revoke(VerbPage):
    slug = "revoke"
    label = "Revoke key"
    permission = "apikeys.revoke_apikey"
    destructive = True
    is_locked = False
    form_class = CategoryForm
    consequence = "The very next request with this key is refused. This cannot be undone."
    obstacle = staticmethod(lambda obj: "was revoked already" if obj.revoked_at else "")

    def asks(self, data: Any = None) -> forms.Form:
        form, would = super().asks(data), would_revoke(self.obj)
        if would != Cascade(0, 0):
            form.fields["cascade"] = forms.BooleanField(
                label=f"Revoke what it made, too: {counted(would)}",
                label_suffix="",
                required=False,
                help_text="Choose this if somebody else had the key: they may have made others "
                "with it.",
            )
        return form

    def page(self, form: forms.Form, **context: Any) -> HttpResponse:
        return super().page(form, secrets=self.obj.secrets.filter(ended_at=None), **context)

    def carry_out(self, fields: dict[str, Any]) -> str:
        reason = fields["reason"]
        if fields.get("cascade"):
            did = revoke_with_all_it_made(self.obj, actor=self.actor, reason=reason)
            return f"{self.obj} is revoked, and with it {counted(did)}."
        done = revoke(self.obj, actor=self.actor, reason=reason)
        return f"{self.obj} is revoked; its next request is refused." if done else ""


class RevokeMade(Revoke):
    """Revoke what a key made that is revoked itself already."""

    slug = "revoke-made"
    label = "Revoke what it made"
    asks = VerbPage.asks  # There is no choice.

    @staticmethod
    def obstacle(obj: ApiKey) -> str:
        if obj.revoked_at is None:
            return "is not revoked itself"
        return "has made nothing that is left" if would_revoke(obj) == Cascade(0, 0) else ""

    def says(self) -> list[str]:
        return [f"Ends at once and for good: {counted(would_revoke(self.obj))}."]

    def carry_out(self, fields: dict[str, Any]) -> str:
        return "" if self.obstacle(self.obj) else super().carry_out({**fields, "cascade": True})


def counted(cascade: Cascade) -> str:
    """Return the numbers of keys and secrets in words, without zeros."""
    counts = {"key": cascade.keys_revoked, "secret": cascade.secrets_ended}
    found = [f"{n} {noun}{pluralize(n)}" for noun, n in counts.items() if n]
    return " and ".join(found) or "nothing else"


KEY_VERBS: Final = (Rotate, FinishRotation, ChangeKey, Narrow, Revoke, RevokeMade)
