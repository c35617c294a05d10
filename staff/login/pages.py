"""What pages of the log-in share: rendering, redirects, refusals, and the recovery codes."""

from collections.abc import Callable
from typing import Any, Final, cast

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.csrf import csrf_failure

from staff.login.sessions import is_half_way
from staff.models import User
from web.proxies import STAFF_PATH

TITLES: Final = {
    400: "This request could not be read",
    403: "Your account may not do this",
    404: "There is no such page",
    405: "This address cannot be opened by itself",
}


def page(
    request: HttpRequest, template: str, *, status: int = 200, **context: Any
) -> TemplateResponse:
    """Return a page in the admin's frame."""
    shared = {"half_way": is_half_way(request), "next": way_back(request)}
    whole = {**admin.site.each_context(request), **shared, **context}
    return TemplateResponse(request, f"admin/{template}.html", whole, status=status)


def way_back(request: HttpRequest) -> str:
    """Return the URL in `next` if it is one of this site, else the admin's first page."""
    wanted = request.POST.get("next", request.GET.get("next", ""))
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else reverse("admin:index")


def on_to(name: str, request: HttpRequest) -> HttpResponse:
    """Redirect to a page of the log-in, and pass `next` on."""
    return HttpResponseRedirect(reverse(f"admin:{name}", query={"next": way_back(request)}))


def newest_code(user: User) -> int:
    """Return a number that changes when recovery codes are made. Forms that make some send it."""
    return user.recovery_codes.order_by("pk").values_list("pk", flat=True).last() or 0


def is_sent_again(request: HttpRequest) -> bool:
    """Return True if recovery codes were made since this form was rendered, as for a reload."""
    sent = request.POST.get("newest")
    return sent is not None and sent != str(newest_code(cast(User, request.user)))


def show_codes(request: HttpRequest, codes: list[str] | None, *, back: str) -> HttpResponse:
    """Return the page that shows recovery codes once. None: they were shown before."""
    title = "Your recovery codes"
    return page(request, "login/recovery_codes", title=title, codes=codes, back=back)


def in_frame(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Make a middleware: refusals under /admin/ are rendered in its frame, nothing is cached."""

    def answer(request: HttpRequest) -> Any:
        response = get_response(request)
        if not request.path_info.startswith(STAFF_PATH):
            return response
        title = TITLES.get(status := response.status_code)
        if title and not isinstance(response, TemplateResponse):  # That is a page of its own.
            allow = response.get("Allow")
            response = page(request, "refused", status=status, title=title, code=status).render()
            if allow:
                response["Allow"] = allow
        add_never_cache_headers(response)
        return response

    return answer


def not_let_in(request: HttpRequest, because: str) -> HttpResponse:
    return page(request, "refused", status=403, title="You are not let in", because=because)


def form_not_checked(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form that fails the check against forged ones: Django's CSRF_FAILURE_VIEW."""
    if not request.path_info.startswith(STAFF_PATH):
        return csrf_failure(request, reason)
    title = "This form could not be checked"
    return page(request, "refused", status=403, title=title, reopen=request.get_full_path())
