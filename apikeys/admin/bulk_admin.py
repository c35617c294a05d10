"""The addresses and the actions of what is done to many keys."""

from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse

from accounts.access.proof import password_needed
from accounts.staff import VerbAdmin
from apikeys.admin.bulk import BulkPage
from apikeys.admin.bulk_verbs import NarrowMany, RevokeMany

BULK_PAGES: Final[tuple[type[BulkPage], ...]] = (RevokeMany, NarrowMany)


class BulkAdmin(VerbAdmin):
    """Revokes and narrows many keys: an action shows the dry run, whose form carries it out."""

    actions = ("revoke_selected", "narrow_selected")

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"bulk/{page.slug}/",
                self.admin_site.admin_view(page.as_view(model_admin=self)),
                name=f"{self.url_name}_bulk_{page.slug}",
            )
            for page in BULK_PAGES
        ]
        return own + super().get_urls()

    def bulk_url(self, page: BulkPage | type[BulkPage]) -> str:
        """Return where a form of this page is sent."""
        return reverse(f"admin:{self.url_name}_bulk_{page.slug}")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """What Django asks before it offers the action, and before it runs it."""
        return request.user.has_perm(RevokeMany.permission)

    def has_narrow_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(NarrowMany.permission)

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        return self._dry_run(RevokeMany, request, queryset)

    @admin.action(
        description="Narrow the selected keys to their used scopes", permissions=["narrow"]
    )
    def narrow_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        return self._dry_run(NarrowMany, request, queryset)

    def _dry_run(
        self, page: type[BulkPage], request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponseBase:
        if (asked := password_needed(request)) is not None:
            return asked
        view = page(model_admin=self)
        view.setup(request)
        return view.preview(queryset)
