"""API keys in the Django admin: issue, look, revoke. Never edit, never delete."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime, AutocompleteSelect
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.access.proof import require_recent_password
from accounts.admin import staff_of
from accounts.models import Organization
from accounts.staff import may
from apikeys.finding import FindByKeyAdmin
from apikeys.models import ApiKey, KeySecret
from apikeys.scopes import Scope
from reachscore.api.ids import new_id
from reachscore.api.moments import format_moment
from reachscore.api.refusals import Refusal

NEW_KEY_ID = partial(signing.TimestampSigner, salt="apikeys.admin.new_key_id")


class IssueForm(forms.Form):
    """What staff say of a new key.

    `key_id` is chosen when the form is shown and signed, so that sending the same form twice
    (reload, double click) finds its key already made.
    """

    key_id = forms.CharField(widget=forms.HiddenInput)
    organization = forms.ModelChoiceField(
        Organization.objects.all(),
        widget=AutocompleteSelect(ApiKey._meta.get_field("organization"), admin.site),
    )
    livemode = forms.TypedChoiceField(
        label="Mode",
        choices=[("live", "Live: real data, counts against the plan"), ("test", "Test: sandbox")],
        coerce=lambda mode: mode == "live",
        widget=forms.RadioSelect,
        initial="live",
    )
    name = forms.CharField(
        max_length=100,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="What the key is for, such as “CI pipeline”. The customer sees it.",
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.value} · {scope.label}") for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
        help_text="The fewest it needs. All eight make a key that can manage other keys.",
    )
    expires_at = forms.SplitDateTimeField(
        label="Expires (UTC)",
        required=False,
        widget=AdminSplitDateTime,
        help_text="Empty: never. At most ten years away.",
    )

    def clean_key_id(self) -> str:
        """Take only an id that this service gave out."""
        try:
            return NEW_KEY_ID().unsign(self.cleaned_data["key_id"])
        except signing.BadSignature:
            raise forms.ValidationError("This form is not ours; open it anew.") from None


@admin.register(ApiKey)
class ApiKeyAdmin(FindByKeyAdmin):
    list_display = ("name", "id", "organization", "mode", "hint", "status", "created_at")
    list_filter = ("livemode", ("revoked_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("organization",)
    search_help_text = (
        "By a whole key, its locator or last four characters; by name, id or organization."
    )
    search_fields = (
        "name",
        "id",
        "secrets__locator",
        "secrets__last_four",
        "organization__name",
        "organization__id",
    )
    fields = (
        "name",
        "id",
        "organization",
        "mode",
        "status",
        "secrets_shown",
        "scopes_shown",
        "allowed_ips_shown",
        "created_at",
        "created_by",
        "expires_at",
        "revoked_at",
        "revoked_by",
        "revoked_reason",
    )
    change_form_template = "admin/apikeys/apikey/change_form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, "apikeys.issue_apikey")

    def get_queryset(self, request: HttpRequest) -> Any:
        live = Prefetch("secrets", KeySecret.objects.filter(ended_at=None))
        return super().get_queryset(request).prefetch_related(live)

    @admin.display(description="mode")
    def mode(self, api_key: ApiKey) -> str:
        return "live" if api_key.livemode else "test"

    @admin.display(description="ends in")
    def hint(self, api_key: ApiKey) -> str:
        return ", ".join(secret.key_hint for secret in api_key.secrets.all())

    @admin.display(description="status")
    def status(self, api_key: ApiKey) -> str:
        return str(api_key.status.label)

    @admin.display(description="secrets")
    def secrets_shown(self, api_key: ApiKey) -> str:
        return "; ".join(_described(s) for s in api_key.secrets.all() if s.is_live)

    @admin.display(description="scopes")
    def scopes_shown(self, api_key: ApiKey) -> str:
        return ", ".join(api_key.scopes)

    @admin.display(description="allowed addresses")
    def allowed_ips_shown(self, api_key: ApiKey) -> str:
        return ", ".join(api_key.allowed_ips or ["any"])

    def get_urls(self) -> list[URLPattern]:
        revoke = path(
            "<path:object_id>/revoke/",
            self.admin_site.admin_view(self.revoke_view),
            name="apikeys_apikey_revoke",
        )
        return [revoke, *super().get_urls()]

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a reason and revoke."""
        return self.confirm_verb(
            request,
            object_id,
            permission="apikeys.revoke_apikey",
            verb="Revoke",
            consequence="The very next request with this key is refused. This cannot be undone.",
            call=lambda obj, reason: obj.revoke(actor=staff_of(request), reason=reason),
            done="{} is revoked; its next request is refused.",
            done_before="{} was revoked already; nothing changed.",
        )

    @require_recent_password
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Issue a key. The page that shows it is the answer to the POST, and is not stored."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        initial = {"key_id": NEW_KEY_ID().sign(new_id("key"))}
        form = IssueForm(request.POST or None, initial=initial)
        if form.is_valid():
            response = self._issue(request, form)
            if response is not None:
                return response
        return self._page(request, "issue", title="Issue an API key", form=form)

    def _issue(self, request: HttpRequest, form: IssueForm) -> HttpResponse | None:
        """Answer with the key, or that this form made one already; None after a refusal."""
        fields = form.cleaned_data
        api_key = ApiKey(
            id=fields["key_id"],
            organization=fields["organization"],
            livemode=fields["livemode"],
            name=fields["name"],
            scopes=fields["scopes"],
            expires_at=fields["expires_at"],
        )
        try:
            plaintext = api_key.issue(actor=staff_of(request))
        except Refusal as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
            return None
        except IntegrityError:
            # A database constraint is what decides between two sendings of one form.
            made = ApiKey.objects.filter(pk=api_key.pk).first()
            if made is None:
                raise
            return self._page(request, "already_issued", title="Already issued", api_key=made)
        self.log_addition(request, api_key, "Issued.")
        return self._page(
            request, "issued", title=f"Issued {api_key}", api_key=api_key, plaintext=plaintext
        )

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        response = TemplateResponse(request, f"admin/apikeys/apikey/{template}.html", whole)
        response["Cache-Control"] = "no-store"
        return response


def _described(secret: KeySecret) -> str:
    """Return a secret's public parts, its last use and its end."""
    parts = [f"{secret.locator} {secret.key_hint}"]
    if secret.last_used_at is None:
        parts.append("never used")
    else:
        address = secret.last_used_ip or "an unknown address"
        parts.append(f"last used {format_moment(secret.last_used_at)} from {address}")
    if secret.expires_at is not None:
        parts.append(f"rotated out, ends {format_moment(secret.expires_at)}")
    return ", ".join(parts)
