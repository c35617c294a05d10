"""Lists of rows in the admin: they are read, filtered and paged without being counted."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, Final, cast

from django.contrib import admin
from django.contrib.admin.options import ShowFacets
from django.contrib.admin.utils import quote
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
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
LAST_PAGE: Final = 100_000
# Beyond this the exact number helps nobody, and counting on would read the whole table.
MOST_COUNTED: Final = 1000
NOTHING: Final = format_html('<span class="quiet">{}</span>', "—")
Rows = QuerySet[Any]


def staff_of(request: HttpRequest) -> Actor:
    """Return the member of staff behind an admin request, as the audit log names them."""
    return Actor.staff(cast(User, request.user))


def counted(rows: Rows) -> tuple[int, str]:
    """Return how many rows there are, up to MOST_COUNTED and one, and that in words."""
    count = rows[: MOST_COUNTED + 1].count()
    return count, f"{count:,}" if count <= MOST_COUNTED else f"{MOST_COUNTED:,}+"


class PlainList(admin.ModelAdmin):  # type: ignore[type-arg]
    """Filters its list by what `list_filter` declares: 400 for `?created_at__year=99999999999`."""

    # What its search box finds; None: the words in `search_fields`, as Django does.
    finds: Callable[[Rows, str], Rows] | None = None

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        declared = {getattr(entry, "parameter_name", entry) for entry in self.list_filter}
        field, more, _ = lookup.partition("__")
        return not more or field in declared or lookup in declared

    def get_search_results(
        self, request: HttpRequest, queryset: Rows, search_term: str
    ) -> tuple[Rows, bool]:
        """Search in the form in which texts are stored: trimmed, in NFC."""
        text = composed(search_term.strip(), max_length=LONGEST_SEARCH)
        if len(text) > LONGEST_SEARCH:
            return queryset.none(), False
        if self.finds is None or not text:
            return super().get_search_results(request, queryset, text)
        return self.finds(queryset, text), False

    def page_url(self, obj: Model, verb: str = "change") -> str:
        """Return the address of an object's page, or of one of its verbs."""
        return reverse(f"admin:{self.url_name}_{verb}", args=[quote(obj.pk)])

    def list_url(self) -> str:
        """Return the address of the list."""
        return reverse(f"admin:{self.url_name}_changelist")

    @property
    def url_name(self) -> str:
        """What the admin's names of addresses begin with."""
        return f"{self.opts.app_label}_{self.opts.model_name}"


class ReadOnlyAdmin(PlainList):
    """Shows rows and changes none."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class UncountedPaginator(Paginator):  # type: ignore[type-arg]
    """Finds one page and whether there is another: the ids first, out of an index alone."""

    object_list: Rows
    rows: Callable[[Rows], Rows]

    @cached_property
    def count(self) -> int:
        """Return more than there is: a count reads the whole table."""
        return LAST_PAGE * self.per_page

    def page(self, number: int | str) -> Page[Any]:
        """Return a page of `rows`. From then on `num_pages` is this page, or the next."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        ids = list(self.object_list.values_list("pk", flat=True)[start : start + self.per_page + 1])
        self.num_pages = number + (len(ids) > self.per_page)
        rows = self.object_list.filter(pk__in=ids[: self.per_page])
        return Page(self.rows(rows), number, self)

    @property
    def found(self) -> str:
        """Say how many rows all pages hold."""
        return counted(self.object_list.order_by())[1]


class EndlessAdmin(ReadOnlyAdmin):
    """Has a list that may be long; `empty_hint` says what to do where it is empty."""

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # They are counts, of every choice of every filter.
    change_list_template = "admin/endless_list.html"
    empty_hint: ClassVar[str] = "Nothing here."
    # By a filter and its choice, the column that says why a row is there.
    columns_of: ClassVar[dict[tuple[str, str], str]] = {}

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Show what was filtered by in place of the last column."""
        shown = list(super().get_list_display(request))
        asked = [name for query, name in self.columns_of.items() if query in request.GET.items()]
        return [*shown[:-1], *asked] if asked else shown

    def get_paginator(self, request: Any, queryset: Rows, per_page: int, *_: Any, **__: Any) -> Any:
        if queryset.model is not self.model:  # The history of a row.
            return super().get_paginator(request, queryset, per_page)
        paginator = UncountedPaginator(queryset, per_page)
        paginator.rows = self.rows
        return paginator

    def rows(self, queryset: Rows) -> Rows:
        """Return these rows of one page with all that the columns show."""
        return queryset

    @admin.display(description="created", ordering="created_at")
    def created(self, obj: Any) -> SafeString:
        return moment(obj.created_at)

    @planned_by_values()
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, extra_context)


class ColumnFilter(admin.SimpleListFilter):
    """Keeps the rows with the chosen value in one column."""

    column: ClassVar[str]
    values: ClassVar[Callable[[], list[tuple[str, str]]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return type(self).values()

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class ChoiceFilter(admin.SimpleListFilter):
    """Keeps the rows that the chosen function keeps; a value it does not know filters nothing."""

    narrowed: ClassVar[dict[str, Callable[[Rows], Rows]]]
    labels: ClassVar[dict[str, str]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, self.labels.get(name, name)) for name in self.narrowed]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        narrow = self.narrowed.get(self.value() or "")
        return narrow(queryset) if narrow else queryset


def badge(kind: str, text: str = "") -> SafeString:
    """Return a word on a coloured ground; the word says it all, the colour only helps."""
    return format_html('<span class="badge badge-{}">{}</span>', kind, text or kind)


def moment(value: datetime | None, never: str = "") -> SafeString:
    """Return day, hour and minute in UTC; `never`, or a dash, for none."""
    if value is None:
        return format_html('<span class="quiet">{}</span>', never) if never else NOTHING
    exact = format_moment(value)
    return format_html('<time datetime="{}">{} {}</time>', exact, exact[:10], exact[11:16])
