"""The search over the list of keys, without reading all of them; a pasted key leads to its page."""

import re
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.http import urlencode

from apikeys.models import ApiKey, KeySecret
from apikeys.networks import clean_networks
from apikeys.plaintext import LOCATOR_LENGTH, is_well_formed
from staff.kit.lists import LONGEST_SEARCH
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
NEITHER_KEPT: Final = ("csrfmiddlewaretoken", SEARCH_VAR, PAGE_VAR)


def matching(keys: QuerySet[ApiKey], text: str) -> QuerySet[ApiKey]:
    """Return those of `keys` that every word of `text` names: by id, locator, last four characters,
    organization's id, allowed network, or anywhere in its own or its organization's texts."""
    for word in text.split()[:MOST_WORDS]:
        bare = word.lstrip(DOTS)
        named = holds(bare) | Q(pk=bare) | Q(organization_id=bare)
        if PUBLIC_PART.fullmatch(bare):  # A query of its own: an OR over two tables has no index.
            secrets = KeySecret.objects.filter(Q(locator=bare) | Q(last_four=bare)).order_by()
            named |= Q(pk__in=list(secrets.values_list("api_key_id", flat=True)[:MOST_NAMED]))
        with suppress(ParameterInvalid):
            named |= Q(allowed_ips__contains=clean_networks([bare]))
        keys = keys.filter(named)
    return keys


class FindByKeyAdmin(VerbAdmin):
    """A list whose search box posts, because no URL may hold a key; see admin/search_form.html."""

    search_fields = ("name",)  # Django shows the box for it; `matching` looks further.
    finds = staticmethod(matching)
    search_help_text = (
        "A whole key, its locator or last four characters; an id or an allowed address; "
        "words of its name, its organization or its contact's address."
    )

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return an order that no index has, if there is a search. PostgreSQL would go through all
        keys by age until it has met 51 of an old customer, or two letters that no key has: 2 s of a
        million, where this is 60 ms, and 200 ms for what every key has."""
        by_age = [(F("created_at") + timedelta(0)).desc(), "-id"]
        return by_age if request.GET.get(SEARCH_VAR) else super().get_ordering(request)

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
            said = "There is no such key here: a character is missing or mistyped."
            if is_well_formed(key):
                said = "There is no such key here: it was issued by another system."
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
