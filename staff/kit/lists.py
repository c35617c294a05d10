"""Lists of rows in the admin: filtered, and paged without a count."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, cast

from django.contrib import admin
from django.contrib.admin.options import ShowFacets
from django.contrib.admin.utils import quote
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit.actor import Actor
from staff.kit.search import planned_by_values
from staff.models import User
from web.input.moments import format_moment
from web.input.text import composed

LONGEST_SEARCH: Final = 200  # No stored text is longer.
# A count of all rows would read the whole table, and a larger number helps nobody.
MOST_COUNTED: Final = 1000
Rows = QuerySet[Any]


def staff_of(request: HttpRequest) -> Actor:
    return Actor.staff(cast(User, request.user))


def counted(rows: Rows) -> tuple[int, str]:
    """Return the number of rows, at most MOST_COUNTED + 1, and the same as text."""
    count = rows[: MOST_COUNTED + 1].count()
    return count, f"{count:,}" if count <= MOST_COUNTED else f"{MOST_COUNTED:,}+"


def column(description: str, shown: Callable[[Any], Any], **more: Any) -> Any:
    """Return a column of a list that shows `shown(row)`. `more` is as of `admin.display`."""
    return staticmethod(admin.display(shown, description=description, **more))


class PlainList(admin.ModelAdmin):  # type: ignore[type-arg]
    """Takes only lookups that `list_filter` declares: no `created_at__year=99999999999`."""

    # Searches the rows for a text. None: search `search_fields`, as Django does.
    finds: Callable[[Rows, str], Rows] | None = None

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        declared = {getattr(entry, "parameter_name", entry) for entry in self.list_filter}
        field, more, _ = lookup.partition("__")
        return not more or field in declared or lookup in declared

    def get_search_results(
        self, request: HttpRequest, queryset: Rows, search_term: str
    ) -> tuple[Rows, bool]:
        """Search for the text as texts are stored: trimmed, in NFC."""
        text = composed(search_term.strip(), max_length=LONGEST_SEARCH)
        if len(text) > LONGEST_SEARCH:
            return queryset.none(), False
        if self.finds is None or not text:
            return super().get_search_results(request, queryset, text)
        return self.finds(queryset, text), False

    def page_url(self, obj: Model, verb: str = "change") -> str:
        return reverse(f"admin:{self.url_name}_{verb}", args=[quote(obj.pk)])

    def list_url(self, query: Any = None) -> str:
        return reverse(f"admin:{self.url_name}_changelist", query=query)

    @property
    def url_name(self) -> str:
        """The first part of the names of this model's URL patterns."""
        return f"{self.opts.app_label}_{self.opts.model_name}"


class UncountedPaginator(Paginator):  # type: ignore[type-arg]
    """Reads one page and whether there is another one: ids first, by an index-only scan."""

    object_list: Rows
    rows: Callable[[Rows], Rows]

    @cached_property
    def count(self) -> int:
        """Return a number that no list reaches: a count would read the whole table."""
        return 100_000 * self.per_page

    def page(self, number: int | str) -> Page[Any]:
        """Return a page of `rows`, and set `num_pages` to this page or the next one."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        ids = list(self.object_list.values_list("pk", flat=True)[start : start + self.per_page + 1])
        self.num_pages = number + (len(ids) > self.per_page)
        rows = self.object_list.filter(pk__in=ids[: self.per_page])
        return Page(self.rows(rows), number, self)

    @property
    def found(self) -> str:
        """Return the number of rows on all pages, as text."""
        return counted(self.object_list.order_by())[1]


class ReadOnlyAdmin(PlainList):
    """Shows rows in a list of any length, and changes none."""

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # Each facet is a count.
    change_list_template = "admin/endless_list.html"
    empty_hint: ClassVar[str] = "Nothing here."  # Shown in an empty list.
    # By a filter and its choice: the column that shows why a row is in the list.
    columns_of: ClassVar[dict[tuple[str, str], str]] = {}
    # Adds to the rows of one page what the columns show.
    rows: Callable[[Rows], Rows] = staticmethod(lambda queryset: queryset)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_delete_permission = has_change_permission

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Replace the last column by those of `columns_of` if the list is filtered so."""
        shown = list(super().get_list_display(request))
        asked = [name for query, name in self.columns_of.items() if query in request.GET.items()]
        return [*shown[:-1], *asked] if asked else shown

    def get_paginator(self, request: Any, queryset: Rows, per_page: int, *_: Any, **__: Any) -> Any:
        if queryset.model is not self.model:  # The history of a row.
            return super().get_paginator(request, queryset, per_page)
        paginator = UncountedPaginator(queryset, per_page)
        paginator.rows = self.rows
        return paginator

    created = column("created", lambda obj: moment(obj.created_at), ordering="created_at")
    changelist_view = planned_by_values()(admin.ModelAdmin.changelist_view)


class ColumnFilter(admin.SimpleListFilter):
    """Keeps the rows that have the chosen value in a column. An unknown value keeps all."""

    column: ClassVar[str]
    lookups: ClassVar[Any]  # Static: returns the values with their labels.

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        is_known = self.value() in dict(self.lookup_choices)
        return queryset.filter(**{self.column: self.value()}) if is_known else queryset


class ChoiceFilter(admin.SimpleListFilter):
    """Keeps the rows that the chosen function keeps. An unknown choice keeps all."""

    narrowed: ClassVar[dict[str, Callable[[Rows], Rows]]]
    labels: ClassVar[dict[str, str]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, self.labels.get(name, name)) for name in self.narrowed]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        narrow = self.narrowed.get(self.value() or "")
        return narrow(queryset) if narrow else queryset


def badge(kind: str, text: str = "") -> SafeString:
    """Return a word on a coloured ground. The colour says no more than the word."""
    return format_html('<span class="badge badge-{}">{}</span>', kind, text or kind)


def moment(value: datetime | None, never: str = "") -> SafeString:
    """Return day, hour and minute in UTC. For None, return `never` or a dash."""
    if value is None:
        return format_html('<span class="quiet">{}</span>', never or "—")
    exact = format_moment(value)
    return format_html('<time datetime="{}">{} {}</time>', exact, exact[:10], exact[11:16])


def chart_of(title: str, days: Sequence[Any]) -> dict[str, Any]:
    """Return the context of chart.html. Each day has `requests`, and `limited` of these refused."""
    return {
        "title": title,
        "days": days,
        "most": max(day.requests for day in days),
        "total": sum(day.requests for day in days),
        "refused": sum(day.limited for day in days),
    }
