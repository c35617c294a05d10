"""The state of one organization's chain, and its verification at the press of a button."""

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import urlencode

from accounts.chains import read_chains, snapshot
from accounts.models import AuditCheck, AuditHead, Organization
from accounts.staff import EndlessAdmin
from accounts.verification import verify

# A page answers within a second or two; longer chains are for the command.
MOST_VERIFIED: Final = 10_000


class ChainAdmin(EndlessAdmin):
    """Shows the chain of the organization that the list is filtered by."""

    change_list_template = "admin/accounts/auditevent/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.verify_view)
        return [path("verify/", view, name=f"{self.url_name}_verify"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        chain = chain_of(request.GET.get("organization", ""))
        context = {"chain": chain, "query": request.GET.urlencode(), **(extra_context or {})}
        return super().changelist_view(request, context)

    def verify_view(self, request: HttpRequest) -> HttpResponse:
        """Verify one chain and say what was found. Raises PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        organization_id = request.POST.get("organization", "")
        chain = chain_of(organization_id)
        if chain is None:
            messages.warning(request, "There is no such chain; nothing was verified.")
            return HttpResponseRedirect(self.list_url())
        if chain["sequence"] > MOST_VERIFIED:
            messages.warning(request, "This chain is long: verify it with manage.py verify_audit.")
        else:
            self._verify(request, organization_id)
        query = urlencode({"organization": organization_id})
        return HttpResponseRedirect(f"{self.list_url()}?{query}")

    def _verify(self, request: HttpRequest, organization_id: str) -> None:
        now = timezone.now()
        with snapshot():
            chain = next(read_chains(organization_id))  # Going on would pass over its events.
            finding = verify(chain, kept={}, checked=lambda: None)
        if finding is not None:
            messages.error(request, f"The audit log is not what was written. {finding}")
        elif chain.head is not None:
            AuditCheck.note([(organization_id, chain.head.sequence)], at=now)
            messages.success(request, f"All {chain.head.sequence} events are as they were written.")


def chain_of(organization_id: str) -> dict[str, Any] | None:
    """Return a chain's state, or None where there is no such chain."""
    if not organization_id.isascii() or not organization_id.isprintable():
        return None
    head = AuditHead.objects.filter(pk=organization_id).first()
    if head is None:
        return None
    return {
        "id": organization_id,
        "organization": Organization.objects.filter(pk=organization_id).first(),
        "sequence": head.sequence,
        "check": AuditCheck.objects.filter(pk=organization_id).first(),
    }
