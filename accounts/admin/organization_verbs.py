"""What staff can do to an organization."""

from typing import Any

from django.http import HttpResponse

from accounts.models import Organization
from accounts.staff import VerbPage, staff_of


class Suspend(VerbPage):
    """Refuse all its keys until it is resumed."""

    slug = "suspend"
    label = "Suspend"
    permission = "accounts.suspend_organization"
    destructive = True

    @classmethod
    def applies_to(cls, obj: Organization) -> bool:
        return obj.suspended_at is None

    def says(self) -> list[str]:
        return [
            (
                "Every key of this organization is refused from its next request on, until the "
                "organization is resumed. No key is revoked."
            )
        ]

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        if self.obj.suspend(actor=staff_of(self.request), reason=fields["reason"]):
            return self.changed(
                f"{self.obj} is suspended; its keys are refused from now on.",
                history=f"Suspended: {fields['reason']}",
            )
        return self.unchanged(self.too_late())

    def too_late(self) -> str:
        return f"{self.obj} was suspended already; nothing changed."


class Resume(VerbPage):
    """Let its keys work again."""

    slug = "resume"
    label = "Resume"
    permission = "accounts.suspend_organization"

    @classmethod
    def applies_to(cls, obj: Organization) -> bool:
        return obj.suspended_at is not None

    def says(self) -> list[str]:
        return ["Its keys that are neither revoked nor expired work again at once."]

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        if self.obj.resume(actor=staff_of(self.request), reason=fields["reason"]):
            return self.changed(
                f"{self.obj} is resumed; its keys work again.",
                history=f"Resumed: {fields['reason']}",
            )
        return self.unchanged(self.too_late())

    def too_late(self) -> str:
        return f"{self.obj} was not suspended; nothing changed."
