"""The kinds of page: rows that are read, and rows that verbs change."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts.models import Actor, User
from accounts.staff.verb_page import VerbPage
from reachscore.api.text import composed

LONGEST_SEARCH: Final = 200  # No stored text is longer.

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin


def staff_of(request: HttpRequest) -> Actor:
    """Return the member of staff behind an admin request, as the audit log names them."""
    return Actor.staff(cast(User, request.user))


def search_text(search_term: str) -> str:
    """Return what was typed into a search box as stored texts are written: trimmed, in NFC."""
    return composed(search_term.strip(), max_length=LONGEST_SEARCH)


class PlainList(AnyModelAdmin):
    """Filters its list by what `list_filter` declares: 400 for `?created_at__year=99999999999`."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        declared = {getattr(entry, "parameter_name", entry) for entry in self.list_filter}
        field, more, _ = lookup.partition("__")
        return not more or field in declared or lookup in declared

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Search in the form in which texts are stored."""
        return super().get_search_results(request, queryset, search_text(search_term))


class ReadOnlyAdmin(PlainList):
    """Shows rows and changes none."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def page_url(self, obj: models.Model, verb: str = "change") -> str:
        """Return the address of an object's page, or of one of its verbs."""
        return reverse(f"admin:{self.url_name}_{verb}", args=[quote(obj.pk)])

    def list_url(self) -> str:
        """Return the address of the list."""
        return reverse(f"admin:{self.url_name}_changelist")

    @property
    def url_name(self) -> str:
        """What the admin's names of addresses begin with."""
        return f"{self.opts.app_label}_{self.opts.model_name}"


@dataclass(frozen=True)
class Button:
    """A verb that one page offers to one member of staff."""

    label: str
    url: str
    destructive: bool


class VerbAdmin(ReadOnlyAdmin):
    """Shows each row on a page of our own, and changes it through verbs: each a page, too.

    Subclasses say what their page shows: `page_template`, and `facts` of the row.
    """

    verbs: ClassVar[tuple[type[VerbPage], ...]] = ()
    page_template: ClassVar[str]

    def facts(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return what the page's template shows besides the row itself."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/{verb.slug}/",
                self.admin_site.admin_view(verb.as_view(model_admin=self)),
                name=f"{self.url_name}_{verb.slug}",
            )
            for verb in self.verbs
        ]
        return own + super().get_urls()

    def buttons(self, request: HttpRequest, obj: Any) -> list[Button]:
        """Return the verbs that can do something to this row and that this person may call."""
        return [
            Button(verb.label, self.page_url(obj, verb.slug), verb.destructive)
            for verb in self.verbs
            if request.user.has_perm(verb.permission) and verb.applies_to(obj)
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the row; nothing is changed here. Raises PermissionDenied."""
        obj = self.get_object(request, VerbPage.unquoted(object_id))
        if request.method != "GET" or not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            return VerbPage.missing(request, self)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(obj),
            "original": obj,
            "buttons": self.buttons(request, obj),
            "history_url": self.page_url(obj, "history"),
            **self.facts(request, obj),
        }
        return TemplateResponse(request, self.page_template, context)
