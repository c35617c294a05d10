"""What can be done to many keys at once."""

from collections.abc import Sequence
from typing import Any

from django import forms

from accounts.staff import ReasonForm, staff_of
from apikeys.admin.bulk import BulkPage
from apikeys.admin.bulk_form import BulkForm, KeysField
from apikeys.admin.reasons import WhyForm
from apikeys.models import ApiKey
from apikeys.models.narrowing import Narrowing, narrow_to_used


class BulkRevokeForm(WhyForm, BulkForm):
    """Which keys, and why."""


class RevokeMany(BulkPage):
    """Stop many keys at once and for good."""

    slug = "revoke"
    label = "Revoke keys"
    permission = "apikeys.revoke_apikey"
    done = "revoked"
    form_class = BulkRevokeForm
    template_name = "admin/apikeys/apikey/bulk_revoke.html"
    destructive = True

    def plan(self, keys: Sequence[ApiKey]) -> dict[str, Any]:
        going = [api_key for api_key in keys if api_key.revoked_at is None]
        return {
            "initial": {"keys": [api_key.pk for api_key in going]},
            "going": going,
            "organizations": len({api_key.organization_id for api_key in going}),
            "left_out": len(keys) - len(going),
        }

    def change(self, api_key: ApiKey, fields: dict[str, Any]) -> bool:
        reason = WhyForm.reason(fields)
        changed = api_key.revoke(actor=staff_of(self.request), reason=reason)
        if changed:
            self.model_admin.log_change(self.request, api_key, f"Revoked, with others: {reason}")
        return changed


class BulkNarrowForm(ReasonForm, BulkForm):
    """Which keys, those too that manage others, and why."""

    managing = KeysField(required=False)
    include_managing = forms.BooleanField(
        label="Narrow the managing keys, too",
        required=False,
        help_text="They could manage no keys any more: not make, list, change or revoke others.",
    )

    def clean(self) -> dict[str, Any]:
        """Add the managing keys where that was asked for."""
        fields = self.cleaned_data
        if fields.get("include_managing"):
            fields["keys"] = [*fields.get("keys", []), *fields.get("managing", [])]
        return super().clean()


class NarrowMany(BulkPage):
    """Leave many keys only the scopes that they use."""

    slug = "narrow"
    label = "Narrow keys to their used scopes"
    permission = "apikeys.narrow_apikey"
    done = "narrowed"
    form_class = BulkNarrowForm
    template_name = "admin/apikeys/apikey/bulk_narrow.html"

    def plan(self, keys: Sequence[ApiKey]) -> dict[str, Any]:
        active = [Narrowing.of(api_key) for api_key in keys if api_key.is_active]
        possible = [narrowing for narrowing in active if narrowing.is_possible]
        ordinary = [narrowing for narrowing in possible if not narrowing.ends_managing]
        managing = [narrowing for narrowing in possible if narrowing.ends_managing]
        return {
            "initial": {
                "keys": [narrowing.api_key.pk for narrowing in ordinary],
                "managing": [narrowing.api_key.pk for narrowing in managing],
            },
            "ordinary": ordinary,
            "managing": managing,
            "unused": sum(not narrowing.keeps for narrowing in active),
            "left_out": len(keys) - len(possible),
        }

    def change(self, api_key: ApiKey, fields: dict[str, Any]) -> bool:
        changed = narrow_to_used(api_key, actor=staff_of(self.request), reason=fields["reason"])
        if changed:
            kept = ", ".join(api_key.scopes)
            self.model_admin.log_change(self.request, api_key, f"Narrowed to {kept}")
        return changed
