"""Lists that are paged without being counted: a count reads the whole table."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib.admin.options import IncorrectLookupParameters, ShowFacets
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst

from accounts.staff.bases import ReadOnlyAdmin

ROWS_A_PAGE: Final = 50
LAST_PAGE: Final = 100_000


class EndlessChangeList(ChangeList):
    """Finds one page and whether there is another: the ids first, out of an index alone."""

    empty_hint: str
    newer: str
    model_admin: EndlessAdmin
    older: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = capfirst(str(self.opts.verbose_name_plural))

    def get_results(self, request: HttpRequest) -> None:
        if not 1 <= self.page_num <= LAST_PAGE:
            raise IncorrectLookupParameters
        start = (self.page_num - 1) * self.list_per_page
        ids = list(
            self.queryset.values_list("pk", flat=True)[start : start + self.list_per_page + 1]
        )
        has_older = len(ids) > self.list_per_page
        ids = ids[: self.list_per_page]
        rows = {row.pk: row for row in self.model_admin.rows(self.root_queryset, ids)}
        self.result_list = [rows[pk] for pk in ids if pk in rows]
        # One more than is shown stands for “more”; nobody counted them.
        self.result_count = len(self.result_list) + has_older
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = bool(self.result_list)
        self.can_show_all, self.multi_page = False, self.page_num > 1 or has_older
        self.empty_hint = self.model_admin.empty_hint
        self.newer = self._page(self.page_num - 1) if self.page_num > 1 else ""
        self.older = self._page(self.page_num + 1) if has_older else ""

    def _page(self, number: int) -> str:
        return self.get_query_string({PAGE_VAR: number})


class EndlessAdmin(ReadOnlyAdmin):
    """Has such a list; `empty_hint` says what to do where it is empty."""

    list_per_page = ROWS_A_PAGE
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # They are counts, of every choice of every filter.
    change_list_template = "admin/endless_list.html"
    empty_hint: ClassVar[str] = "Nothing here."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return EndlessChangeList

    def rows(self, queryset: QuerySet[Any], ids: list[Any]) -> QuerySet[Any]:
        """Return the rows with these ids, in any order, with all that the columns show."""
        return queryset.filter(pk__in=ids)
