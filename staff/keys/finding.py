"""The search over the list of keys, without reading all of them; a pasted key leads to its page."""

import re
from contextlib import suppress
from typing import Final

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.http import urlencode

from apikeys.format import LOCATOR_LENGTH, is_well_formed
from apikeys.models import ApiKey, KeySecret
from apikeys.networks import clean_networks
from staff.kit.lists import LONGEST_SEARCH, EndlessAdmin
from staff.kit.search import MOST_WORDS, holds
from staff.kit.verb_page import VerbAdmin
from web.errors.refusals import ParameterInvalid
from web.redaction import find_key, find_locator, holds_key

# The last four characters, or the locator.
PUBLIC_PART: Final = re.compile(rf"[0-9A-Za-z]{{4}}|[0-9A-Za-z]{{{LOCATOR_LENGTH}}}")
MOST_NAMED: Final = 200
DOTS: Final = ".…"  # In front of a hint, such as …IVk5: they are no part of the key.
# A key that lost its beginning: no name has so long a word, and a URL must not have it.
SECRET_ALONE: Final = re.compile(r"[0-9A-Za-z]{24}")
MISTYPED: Final = "a character is missing or mistyped"
NEITHER_KEPT: Final = ("csrfmiddlewaretoken", SEARCH_VAR, PAGE_VAR)


def matching(keys: QuerySet[ApiKey], text: str) -> QuerySet[ApiKey]:
    """Return those of `keys` that every word of `text` names, each in a way of its own."""
    for word in text.split()[:MOST_WORDS]:
        keys = keys.filter(named_by(word.lstrip(DOTS)))
    return keys


def named_by(word: str) -> Q:
    """Return the condition that a key's id, organization's id, locator, last four characters or
    one of its networks is this word, or that its own or its organization's texts hold it."""
    found = holds(word)
    if word.startswith("key_"):
        found |= Q(pk=word)
    elif word.startswith("org_"):
        found |= Q(organization_id=word)
    elif PUBLIC_PART.fullmatch(word):
        # Two queries, because one OR over two tables takes no index.
        secrets = KeySecret.objects.filter(Q(locator=word) | Q(last_four=word)).order_by()
        found |= Q(pk__in=list(secrets.values_list("api_key_id", flat=True)[:MOST_NAMED]))
    else:
        with suppress(ParameterInvalid):
            found |= Q(allowed_ips__contains=clean_networks([word]))
    return found


class FindByKeyAdmin(EndlessAdmin, VerbAdmin):
    """A list whose search box posts, because no URL may hold a key; see admin/search_form.html."""

    search_fields = ("name",)  # Django shows the box for it; `matching` looks further.
    finds = staticmethod(matching)
    search_help_text = (
        "A whole key, its locator or last four characters; an id or an allowed address; "
        "words of its name, its organization's or its contact's."
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.find_view)
        return [path("find/", view, name=f"{self.url_name}_find"), *super().get_urls()]

    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Lead on to the page of the key that the text holds, or to the list of what it finds.

        Raises PermissionDenied.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = request.POST.get(SEARCH_VAR, "").strip()
        q = said = ""
        if key := find_key(text):
            if secret := KeySecret.objects.find(key):
                return HttpResponseRedirect(self.page_url(secret.api_key))
            why = "it was issued by another system" if is_well_formed(key) else MISTYPED
            said = f"There is no such key here: {why}."
        elif locator := find_locator(text):
            q = locator  # Of a key that was cut short: the rest is no business of a URL.
        elif SECRET_ALONE.search(text):
            said = "That looks like a part of a key: paste the whole key."
        elif len(text) > LONGEST_SEARCH:
            said = f"Search for at most {LONGEST_SEARCH} characters, or paste a whole key."
        else:
            q = text.lstrip(DOTS)
        if said:
            messages.warning(request, said)
        # The list as it was filtered and sorted, at its first page.
        kept = {
            name: str(value)
            for name, value in request.POST.items()
            if name not in NEITHER_KEPT and not holds_key(f"{name} {value}")
        }
        query = urlencode({**kept, SEARCH_VAR: q} if q else kept)
        return HttpResponseRedirect(f"{self.list_url()}?{query}" if query else self.list_url())
