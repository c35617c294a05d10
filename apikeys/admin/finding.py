"""The search box over the admin's list of keys: a pasted key leads to its page and into no URL."""

import re

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.http import urlencode

from accounts.staff import EndlessAdmin, VerbAdmin
from apikeys.keys import is_well_formed
from apikeys.models import KeySecret
from reachscore.api.redaction import find_key, find_locator, holds_key

# A key that lost its beginning: no name has so long a word, and a URL must not have it.
SECRET_ALONE = re.compile(r"[0-9A-Za-z]{24}")
NEITHER_KEPT = ("csrfmiddlewaretoken", SEARCH_VAR, PAGE_VAR)


class FindByKeyAdmin(EndlessAdmin, VerbAdmin):
    """A list whose search box posts; its template is search_form.html."""

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
        key = find_key(text)
        if key is None and find_locator(text) is None and SECRET_ALONE.search(text):
            messages.warning(request, "That looks like a part of a key: paste the whole key.")
            return self._list(request)
        if key is None:
            # The public part of a key that was cut short: the rest is no business of a URL.
            # A hint is shown as "...sP7L"; its dots are no part of the key.
            return self._list(request, q=find_locator(text) or text.strip().lstrip("."))
        secret = KeySecret.find(key)
        if secret is not None:
            return HttpResponseRedirect(self.page_url(secret.api_key))
        if is_well_formed(key):
            messages.warning(request, "There is no such key here: it was issued by another system.")
        else:
            messages.warning(request, "There is no such key: a character is missing or mistyped.")
        return self._list(request)

    def _list(self, request: HttpRequest, q: str = "") -> HttpResponse:
        """Lead to the list, as it was filtered and sorted, at its first page."""
        kept = {
            name: str(value)
            for name, value in request.POST.items()
            if name not in NEITHER_KEPT and not holds_key(f"{name} {value}")
        }
        query = urlencode({**kept, SEARCH_VAR: q} if q else kept)
        return HttpResponseRedirect(f"{self.list_url()}?{query}" if query else self.list_url())
