"""Rotating a key: a new secret, shown once, and an end to the old one."""

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpResponse

from accounts.staff import staff_of
from apikeys.admin.seen import SeenForm, SeenPage
from apikeys.models import ApiKey, KeySecret
from reachscore.api.moments import format_moment


class RotateForm(SeenForm):
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

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return obj.is_active

    def says(self) -> list[str]:
        said = [
            (
                "The key keeps its id, name, scopes and history, and gets a new secret. It is "
                "shown on the next page, once, and to nobody else: hand it over safely."
            )
        ]
        if retiring := self.obj.retiring_locator:
            newest, _ = KeySecret.unended_of(self.obj)
            happens = (
                f"its new secret was never used and is replaced, and {retiring} ends no later than "
                "it would"
                if newest is None or newest.last_used_at is None
                else f"the secret {retiring} ends at once"
            )
            said.append(f"A rotation is still open: {happens}.")
        return said

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        plaintext = self.obj.rotate(actor=staff_of(self.request), overlap=fields["overlap"])
        self.model_admin.log_change(self.request, self.obj, "Rotated.")
        return self.render(
            "admin/apikeys/apikey/issued.html",
            title=f"Rotated {self.obj}",
            api_key=self.obj,
            plaintext=plaintext,
        )

    def too_late(self) -> str:
        return f"{self.obj} was rotated already since that page was opened; nothing changed."


class FinishRotation(SeenPage):
    """End the old secret before its time."""

    slug = "finish-rotation"
    label = "Finish rotation"
    permission = "apikeys.rotate_apikey"
    destructive = True
    sees = "retiring_locator"

    @classmethod
    def applies_to(cls, obj: ApiKey) -> bool:
        return bool(obj.retiring_locator)

    def says(self) -> list[str]:
        _, old = KeySecret.unended_of(self.obj)
        if old is None:
            return []
        used = (
            f"was last used {format_moment(old.last_used_at)} from "
            f"{old.last_used_ip or 'an unknown address'}"
            if old.last_used_at
            else "was never used"
        )
        return [
            (
                f"The old secret {old.locator} {used}. It ends at once; whoever still sends it is "
                "refused. The new one works on."
            )
        ]

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        if self.obj.finish_rotation(actor=staff_of(self.request)):
            return self.changed(
                f"The old secret of {self.obj} has ended.", history="Finished the rotation."
            )
        return self.unchanged(self.too_late())

    def too_late(self) -> str:
        return f"No rotation of {self.obj} is open as it was; nothing changed."
