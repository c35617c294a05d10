"""A verb for many keys: a dry run lists and counts them, then a page shows the progress."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html

from apikeys.models import ApiKey
from apikeys.verbs.narrow import Narrowing, narrow_to_used
from apikeys.verbs.revoke import revoke
from staff.keys.forms import CategoryForm
from staff.kit.forms import ReasonForm
from staff.kit.lists import PlainList, Rows, staff_of
from staff.kit.verb_page import FormPage
from staff.login.proof import proved
from web.context import current
from web.database.stale import once_more
from web.errors.faults import is_database_fault, log_database_fault
from web.errors.refusals import Refusal

MOST_AT_ONCE: Final = 5000
KEY_IDS: Final = re.compile(rf"\A(?:key_[0-9A-Za-z]{{12,36}}(?: |\Z)){{0,{MOST_AT_ONCE}}}\Z")
STOPPED: Final = (
    "stopped here, because the database is away or busy. What is done stays done, perhaps this "
    "one, too: reload this page in a while to send the form again."
)
THESE: Final = "These keys"
MANAGING: Final = "Managing keys, left out unless you say so"
PLACE_OF_PROGRESS: Final = "⟦progress⟧"  # In bulk_progress.html.


def way_back(request: HttpRequest, model_admin: PlainList) -> str:
    """Return the address of the page of the organization in the query, or else of the list."""
    organization = request.GET.get("organization")
    if organization and request.user.has_perm("accounts.view_organization"):
        return reverse("admin:accounts_organization_change", args=[quote(organization)])
    return model_admin.list_url()


class BulkPage(FormPage, ABC):
    """A verb for many keys, each in its own transaction, so the form is safe to send again. GET is
    a dry run over an organization's keys. POST streams a line for each key."""

    done: ClassVar[str]  # Said of a key that was changed.
    as_it_was: ClassVar[str]  # Said of a key that was not.
    why_left_out: ClassVar[str]

    @abstractmethod
    def plan(self, api_key: ApiKey) -> tuple[str, str] | None:
        """Return the heading for a key and what it would lose, or None to leave it out."""

    @abstractmethod
    def change(self, api_key: ApiKey, fields: dict[str, Any]) -> str | None:
        """Call the verb. Return the text for Django's history, or None if nothing changed."""

    def get(self, request: HttpRequest) -> HttpResponse:
        keys = self.model_admin.get_queryset(request).filter(revoked_at=None)
        return self.preview(keys.filter(organization_id=request.GET.get("organization", "")))

    @classmethod
    def selected(cls, model_admin: PlainList, request: HttpRequest, queryset: Rows) -> HttpResponse:
        view = cls(model_admin=model_admin)
        view.setup(request)
        return view.preview(queryset)

    def preview(self, queryset: Rows, form: forms.Form | None = None) -> HttpResponse:
        proved(self.request)
        current().allow("bulk")
        found = queryset.select_related("organization").prefetch_related("grants")
        keys = list(found[: MOST_AT_ONCE + 1])
        if len(keys) > MOST_AT_ONCE:
            return self._lead_back(f"More than {MOST_AT_ONCE:,} keys: filter the list further.")
        groups: dict[str, list[tuple[ApiKey, str]]] = {THESE: [], MANAGING: []}
        for api_key in keys:
            if planned := self.plan(api_key):
                groups[planned[0]].append((api_key, planned[1]))
        going = [api_key for entries in groups.values() for api_key, _ in entries]
        if not going:
            return self._lead_back("There is nothing to do to these keys; nothing changed.")
        context: dict[str, Any] = {
            "action": reverse(f"admin:{self.model_admin.url_name}_bulk_{self.slug}"),
            "back": way_back(self.request, self.model_admin),
            "form": form or self.form_class(),
            "ids": " ".join(api_key.pk for api_key in going),
            "customers": Counter(api_key.organization for api_key in going).most_common(),
            "left_out": len(keys) - len(going),
            "going": going,
            "groups": groups,
        }
        return self.shown("apikeys/apikey/bulk", "a dry run", **context)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        is_proved = proved(request)
        form, keys = self.form_class(request.POST), request.POST.get("keys", "")
        if not (keys and KEY_IDS.fullmatch(keys)):
            return self._lead_back("This form has expired. Select the keys again.")
        ids = keys.split()
        if not (form.is_valid() and is_proved):
            return self.preview(self.model_admin.get_queryset(request).filter(pk__in=ids), form)
        lines = self._stream(ids, form.cleaned_data)
        # Without X-Accel-Buffering nginx would hold the lines back until the last one.
        return StreamingHttpResponse(lines, headers={"X-Accel-Buffering": "no"})

    def _lead_back(self, said: str) -> HttpResponse:
        messages.warning(self.request, said)
        return HttpResponseRedirect(way_back(self.request, self.model_admin))

    def _stream(self, keys: list[str], fields: dict[str, Any]) -> Iterator[str]:
        # The server may iterate in another context: events must name this request.
        run = copy_context().run
        whole = self.shown("bulk_progress", "progress", total=len(keys))
        before, _, after = whole.rendered_content.partition(PLACE_OF_PROGRESS)
        yield before
        changed, of = 0, f"of {len(keys)}"
        for place, key_id in enumerate(keys, start=1):
            try:
                outcome, has_changed = run(once_more(self._one), key_id, fields)
            except DatabaseError as fault:
                if not is_database_fault(fault):
                    raise
                log_database_fault(fault)
                yield format_html("<li><strong>{} {}: {}</strong></li>\n", place, of, STOPPED)
                break
            changed += has_changed
            yield format_html("<li>{} {}: {}</li>\n", place, of, outcome)
        said = '</ol><p role="status"><strong>{} {} keys {}.</strong> {}</p>'
        rest = "" if changed == len(keys) else "The others are as they were: their lines say why."
        yield format_html(said, changed, of, self.done, rest) + after

    def _one(self, key_id: str, fields: dict[str, Any]) -> tuple[str, bool]:
        """Change one key in a transaction. Return the text of its line, and True if it changed."""
        api_key = ApiKey.objects.select_related("organization__plan").filter(pk=key_id).first()
        if api_key is None:
            return f"{key_id} is no key", False
        try:
            with transaction.atomic():
                if history := self.change(api_key, fields):
                    self.model_admin.log_change(self.request, api_key, history)
                    return f"{api_key} {self.done}", True
        except Refusal as refusal:
            return f"{api_key}: {refusal.message}", False
        return f"{api_key} {self.as_it_was}", False


class RevokeMany(BulkPage):
    slug = "revoke"
    label = "Revoke keys"
    permission = "apikeys.revoke_apikey"
    done = "revoked"
    as_it_was = "was revoked already"
    consequence = (
        "the very next request with each is refused. This cannot be undone. What they made lives "
        "on; revoke a leaked key from its own page to take that, too."
    )
    why_left_out = "revoked already."
    form_class = CategoryForm
    destructive = True

    def plan(self, api_key: ApiKey) -> tuple[str, str] | None:
        return None if api_key.revoked_at else (THESE, "")

    def change(self, api_key: ApiKey, fields: dict[str, Any]) -> str | None:
        reason = fields["reason"]
        changed = revoke(api_key, actor=staff_of(self.request), reason=reason)
        return f"Revoked, with others: {reason}" if changed else None


class BulkNarrowForm(ReasonForm):
    include_managing = forms.BooleanField(
        label="Narrow the managing keys, too",
        required=False,
        help_text="They could manage no keys any more: not make, list, change or revoke others.",
    )


class NarrowMany(BulkPage):
    slug = "narrow"
    label = "Narrow keys to their used scopes"
    permission = "apikeys.narrow_apikey"
    done = "narrowed"
    consequence = (
        "each loses the scopes that it has held for 30 days or more and never exercised. What it "
        "loses is refused from its next request on."
    )
    why_left_out = (
        "no longer active, or without a scope that it held for 30 days and never exercised. Of a "
        "key that used none at all, none is taken: revoke it instead."
    )
    as_it_was = "keeps all it holds: it uses that, or manages other keys and was left out"
    form_class = BulkNarrowForm

    def plan(self, api_key: ApiKey) -> tuple[str, str] | None:
        narrowing = Narrowing.of(api_key)
        if not (api_key.is_active and narrowing.is_possible):
            return None
        said = f"loses {', '.join(narrowing.loses)}; keeps {', '.join(narrowing.keeps)}"
        return MANAGING if narrowing.ends_managing else THESE, said

    def change(self, api_key: ApiKey, fields: dict[str, Any]) -> str | None:
        if Narrowing.of(api_key).ends_managing and not fields["include_managing"]:
            return None
        changed = narrow_to_used(api_key, actor=staff_of(self.request), reason=fields["reason"])
        return f"Narrowed to {', '.join(api_key.scopes)}" if changed else None


BULK_PAGES: Final[tuple[type[BulkPage], ...]] = (RevokeMany, NarrowMany)
