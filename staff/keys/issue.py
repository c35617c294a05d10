"""Issuing a key: the page that shows it is the answer to the POST, and is stored nowhere."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse

from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.scopes import Scope
from apikeys.verbs.issue import issue
from staff.keys.change import KeyForm
from staff.kit.forms import show_refusal
from staff.kit.lists import staff_of
from staff.kit.verb_page import VerbAdmin, render
from staff.login.proof import proved
from web.errors.refusals import Refusal, ResourceNotFound
from web.ids import new_id

NEW_KEY_ID = partial(signing.TimestampSigner, salt="staff.keys.new_key_id")


class OrganizationSelect(AutocompleteSelect):
    """Has words in it while it is empty: a screen reader would read out nothing."""

    def build_attrs(self, base_attrs: Any, extra_attrs: Any = None) -> Any:
        attrs = super().build_attrs(base_attrs, extra_attrs)
        return {**attrs, "data-placeholder": "Choose an organization"}


class IssueForm(KeyForm):
    """What staff say of a new key.

    `key_id` is chosen when the form is shown and signed, so that sending the same form twice
    (reload, double click) finds its key already made.
    """

    key_id = forms.CharField(widget=forms.HiddenInput)
    organization = forms.ModelChoiceField(
        Organization.objects.all(),
        widget=OrganizationSelect(ApiKey._meta.get_field("organization"), admin.site),
    )
    livemode = forms.TypedChoiceField(
        label="Mode",
        choices=[("live", "Live: real data, counts against the plan"), ("test", "Test: sandbox")],
        coerce=lambda mode: mode == "live",
        widget=forms.RadioSelect,
        initial="live",
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, f"{scope.value} · {scope.label}") for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
        help_text="The fewest it needs. A key with every scope can manage other keys.",
    )
    field_order = ("organization", "livemode", "name", "scopes", *KeyForm.field_order[1:])

    def clean_key_id(self) -> str:
        """Take only an id that this service gave out."""
        try:
            return NEW_KEY_ID().unsign(self.cleaned_data["key_id"])
        except signing.BadSignature:
            raise forms.ValidationError("This form has expired. Open it again.") from None


class IssueAdmin(VerbAdmin):
    """Issues keys."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("apikeys.issue_apikey")

    def add_view(self, request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
        """Issue a key. The page that shows it is the answer to the POST, and is not stored."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        page, is_proved = partial(render, request, self), proved(request)
        form = IssueForm(request.POST or None, initial={"key_id": NEW_KEY_ID().sign(new_id("key"))})
        context: dict[str, Any] = {"title": "Issue an API key", "back": self.list_url()}
        owner = {}
        if "organization" in request.GET:  # From its page, so that no other is taken by mistake.
            try:
                owner["organization"] = Organization.find(request.GET["organization"])
            except ResourceNotFound:
                raise Http404 from None
            del form.fields["organization"]
            context["title"] = f"Issue an API key for {owner['organization']}"
        if form.is_valid() and is_proved:
            fields = form.cleaned_data | owner
            reason = fields.pop("reason")
            api_key = ApiKey(id=fields.pop("key_id"), **fields)
            shown: dict[str, Any] = {"title": f"Issued {api_key}", "api_key": api_key}
            try:
                with transaction.atomic():
                    plaintext = issue(api_key, actor=staff_of(request), reason=reason)
                    self.log_addition(request, api_key, f"Issued: {reason}")
                return page("admin/apikeys/apikey/issued.html", plaintext=plaintext, **shown)
            except Refusal as refusal:
                show_refusal(refusal, form)
            except IntegrityError:
                # A database constraint is what decides between two sendings of one form.
                if not ApiKey.objects.filter(pk=api_key.pk).exists():
                    raise
                shown = {"title": "Already issued", "api_key": ApiKey.objects.get(pk=api_key.pk)}
                return page("admin/apikeys/apikey/already_issued.html", **shown)
        return page("admin/apikeys/apikey/issue.html", form=form, **context)
