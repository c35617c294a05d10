"""Refusals under /admin/, in the admin's frame, with a way back; and no answer there is cached."""

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.views.csrf import csrf_failure

from staff.login.pages import page
from web.proxies import STAFF_PATH

TITLES: Final = {
    400: "This request could not be read",
    403: "Your account may not do this",
    404: "There is no such page",
    405: "This address cannot be opened by itself",
}


def in_frame(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Make the middleware that renders the admin's refusals in its frame."""

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
    """Answer 403 and say why."""
    return page(request, "refused", status=403, title="You are not let in", because=because)


def form_not_checked(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form that fails the check against forged ones: Django's CSRF_FAILURE_VIEW."""
    if not request.path_info.startswith(STAFF_PATH):
        return csrf_failure(request, reason)
    title = "This form could not be checked"
    return page(request, "refused", status=403, title=title, reopen=request.get_full_path())
