"""The search over the list of keys, without reading all of them; a pasted key leads to its page."""

import re
from typing import Final

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.http import urlencode

from accounts.models import Organization
from accounts.staff.lists import EndlessAdmin
from accounts.staff.verb_page import VerbAdmin
from apikeys.format import LOCATOR_LENGTH, is_well_formed
from apikeys.models import ApiKey, KeySecret
from reachscore.api.redaction import find_key, find_locator, holds_key

HINT_LENGTH: Final = 4
# More organizations than this by one name are looked for by a better one.
MOST_OWNERS: Final = 200
PUBLIC_PART: Final = re.compile(rf"[0-9A-Za-z]{{{HINT_LENGTH}}}|[0-9A-Za-z]{{{LOCATOR_LENGTH}}}")
# A key that lost its beginning: no name has so long a word, and a URL must not have it.
SECRET_ALONE: Final = re.compile(r"[0-9A-Za-z]{24}")
NEITHER_KEPT: Final = ("csrfmiddlewaretoken", SEARCH_VAR, PAGE_VAR)


def matching(keys: QuerySet[ApiKey], text: str) -> QuerySet[ApiKey]:
    """Return those of `keys` whose id, locator, last four characters or owner's id `text` is, or
    whose own or owner's name holds it. One query now; each condition has an index of its own."""
    if text.startswith("key_") and keys.filter(pk=text).exists():
        return keys.filter(pk=text)
    owners = Organization.objects.filter(Q(pk=text) | Q(name__icontains=text)).values_list("pk")
    found = owners.order_by()[:MOST_OWNERS]
    if PUBLIC_PART.fullmatch(text):
        named = KeySecret.objects.filter(Q(locator=text) | Q(last_four=text))
        found = found.union(named.order_by().values_list("api_key_id"), all=True)
    ids = [id_ for (id_,) in found]
    return keys.filter(Q(name__icontains=text) | Q(organization_id__in=ids) | Q(pk__in=ids))


class FindByKeyAdmin(EndlessAdmin, VerbAdmin):
    """A list whose search box posts, because no URL may hold a key; see search_form.html."""

    search_fields = ("name",)  # Django shows the box for it; `matching` looks further.
    finds = staticmethod(matching)
    search_help_text = (
        "A whole key, its locator or last four characters; a name, an id or an organization."
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
        text = request.POST.get(SEARCH_VAR, "")
        key, q = find_key(text), ""
        secret = KeySecret.find(key) if key else None
        if secret is not None:
            return HttpResponseRedirect(self.page_url(secret.api_key))
        if key is None and find_locator(text) is None and SECRET_ALONE.search(text):
            messages.warning(request, "That looks like a part of a key: paste the whole key.")
        elif key is None:
            # The public part of a key that was cut short: the rest is no business of a URL.
            # A hint is shown as "...sP7L"; its dots are no part of the key.
            q = find_locator(text) or text.strip().lstrip(".")
        elif is_well_formed(key):
            messages.warning(request, "There is no such key here: it was issued by another system.")
        else:
            messages.warning(request, "There is no such key: a character is missing or mistyped.")
        # The list as it was filtered and sorted, at its first page.
        kept = {
            name: str(value)
            for name, value in request.POST.items()
            if name not in NEITHER_KEPT and not holds_key(f"{name} {value}")
        }
        query = urlencode({**kept, SEARCH_VAR: q} if q else kept)
        return HttpResponseRedirect(f"{self.list_url()}?{query}" if query else self.list_url())
