"""The search for keys, by indexes only. A pasted key leads to its page."""

import re
from contextlib import suppress
from typing import Final

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apikeys.models import ApiKey, KeySecret
from apikeys.networks import clean_networks
from apikeys.plaintext import LOCATOR_LENGTH, is_well_formed
from staff.kit.lists import LONGEST_SEARCH
from staff.kit.search import MOST_WORDS, holds
from staff.kit.verb_page import VerbAdmin
from web.errors.refusals import ParameterInvalid
from web.redaction import find_key, find_locator, holds_key

# The last four characters of a key, or its locator.
PUBLIC_PART: Final = re.compile(rf"[0-9A-Za-z]{{4}}|[0-9A-Za-z]{{{LOCATOR_LENGTH}}}")
MOST_NAMED: Final = 200
DOTS: Final = ".…"  # Before the last four characters, as the list shows them: …IVk5.
# The end of a key, which no URL may hold. No word of a name is so long.
SECRET_ALONE: Final = re.compile(r"[0-9A-Za-z]{24}")
MISTYPED: Final = "a character is missing or mistyped"
NEITHER_KEPT: Final = ("csrfmiddlewaretoken", SEARCH_VAR, PAGE_VAR)


def matching(keys: QuerySet[ApiKey], text: str) -> QuerySet[ApiKey]:
    """Return the keys that match every word of `text`: ids, locator, last four characters and
    allowed networks exactly, the texts of the key and its organization anywhere."""
    for word in text.split()[:MOST_WORDS]:
        bare = word.lstrip(DOTS)
        named = holds(bare) | Q(pk=bare) | Q(organization_id=bare)
        if PUBLIC_PART.fullmatch(bare):  # A separate query: no index serves an OR over two tables.
            secrets = KeySecret.objects.filter(Q(locator=bare) | Q(last_four=bare)).order_by()
            named |= Q(pk__in=list(secrets.values_list("api_key_id", flat=True)[:MOST_NAMED]))
        with suppress(ParameterInvalid):
            named |= Q(allowed_ips__contains=clean_networks([bare]))
        keys = keys.filter(named)
    return keys


def find(model_admin: VerbAdmin, request: HttpRequest) -> HttpResponse:
    """Redirect to the page of a pasted key, or to the list of what the text finds."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    text = request.POST.get(SEARCH_VAR, "").strip()
    q = said = ""
    if key := find_key(text):
        if secret := KeySecret.objects.find(key):
            return HttpResponseRedirect(model_admin.page_url(secret.api_key))
        why = "it was issued by another system" if is_well_formed(key) else MISTYPED
        said = f"There is no such key here: {why}."
    elif locator := find_locator(text):
        q = locator  # The key was cut short. No URL may hold the rest.
    elif SECRET_ALONE.search(text):
        said = "That looks like a part of a key: paste the whole key."
    elif len(text) > LONGEST_SEARCH:
        said = f"Search for at most {LONGEST_SEARCH} characters, or paste a whole key."
    else:
        q = text.lstrip(DOTS)
    if said:
        messages.warning(request, said)
    # Filters and order of the list stay, and its first page is shown.
    query = {
        name: str(value)
        for name, value in request.POST.items()
        if name not in NEITHER_KEPT and not holds_key(f"{name} {value}")
    }
    query |= {SEARCH_VAR: q} if q else {}
    return HttpResponseRedirect(model_admin.list_url(query))
