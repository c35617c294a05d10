"""The list of keys, and the page of one."""

from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.admin.audit import PAGES_OF_TARGETS
from accounts.staff.bases import search_text
from accounts.staff.columns import badge, moment
from apikeys.admin.bulk_admin import BulkAdmin
from apikeys.admin.change import Addresses, Narrow
from apikeys.admin.filters import ModeFilter, PlanFilter, ScopeFilter, StatusFilter, UnusedFilter
from apikeys.admin.finding import FindByKeyAdmin
from apikeys.admin.issue import IssueAdmin
from apikeys.admin.key_page import KeyPageAdmin
from apikeys.admin.revoke import Revoke, RevokeMade
from apikeys.admin.rotate import FinishRotation, Rotate
from apikeys.admin.search import matching
from apikeys.admin.state import states_of
from apikeys.answers import presentable
from apikeys.models import ApiKey

PAGES_OF_TARGETS["api_key"] = "apikeys_apikey"

EMPTY_LIST: Final = (
    "No key is found like this. Take a filter away, search for less, or issue a key."
)


@admin.register(ApiKey)
class ApiKeyAdmin(BulkAdmin, IssueAdmin, FindByKeyAdmin, KeyPageAdmin):
    list_display = ("key", "owner", "status", "last_used", "expires", "created")
    list_display_links = ("key",)
    list_filter = (StatusFilter, ModeFilter, UnusedFilter, ScopeFilter, PlanFilter)
    search_fields = ("name",)  # Django shows the box for it; `matching` looks further.
    search_help_text = (
        "A whole key, its locator or last four characters; a name, an id or an organization."
    )
    empty_hint = EMPTY_LIST
    verbs = (Rotate, FinishRotation, Narrow, Addresses, Revoke, RevokeMade)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_text(search_term)
        return (matching(queryset, text) if text else queryset), False

    def rows(self, queryset: QuerySet[Any], ids: list[Any]) -> QuerySet[Any]:
        return presentable(queryset.filter(pk__in=ids).select_related("organization"))

    @admin.display(description="key", ordering="name")
    def key(self, api_key: Any) -> SafeString:
        test = "" if api_key.livemode else badge("test", "test key")
        return format_html(
            '<span title="{}">{}</span> {} <span class="quiet">…{}</span>',
            api_key.pk,
            api_key.name,
            test,
            api_key.last_four,
        )

    @admin.display(description="organization")
    def owner(self, api_key: Any) -> SafeString:
        return format_html(
            '<span title="{}">{}</span>', api_key.organization_id, api_key.organization.name
        )

    @admin.display(description="status")
    def status(self, api_key: Any) -> SafeString:
        states = states_of(api_key, api_key.unended_secrets)
        return format_html_join(" ", "{}", ((badge(state.value),) for state in states))

    @admin.display(description="last used")
    def last_used(self, api_key: Any) -> SafeString:
        return moment(api_key.last_used_at, never="never")

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, api_key: Any) -> SafeString:
        return moment(api_key.expires_at)

    @admin.display(description="created", ordering="created_at")
    def created(self, api_key: Any) -> SafeString:
        return moment(api_key.created_at)
