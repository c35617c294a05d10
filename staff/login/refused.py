"""Refusals under /admin/: in the admin's frame, with a way back."""

from collections.abc import Callable
from typing import Final

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.csrf import csrf_failure

NOT_CHECKED: Final = "This form could not be checked"
TITLES: Final = {
    400: "This request could not be read",
    403: "Your account may not do this",
    404: "There is no such page",
    405: "This address cannot be opened by itself",
}


def in_frame(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Make the middleware that shows the admin's refusals in its frame."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        status = response.status_code
        has_page = isinstance(response, TemplateResponse)  # Of its own, which says more.
        is_admin = request.path_info.startswith(reverse("admin:index"))
        if status not in TITLES or has_page or not is_admin:
            return response
        title = getattr(request, "refused_as", TITLES[status])
        context = {**admin.site.each_context(request), "title": title, "status": status}
        page = render(request, "admin/refused.html", context, status=status)
        page["Cache-Control"] = "no-store"
        if "Allow" in response.headers:
            page["Allow"] = response["Allow"]
        return page

    return answer


def not_let_in(request: HttpRequest, because: str) -> HttpResponse:
    """Answer 403 and say why."""
    context = {**admin.site.each_context(request), "title": "You are not let in"}
    context["because"] = because
    return TemplateResponse(request, "admin/refused.html", context, status=403)


def form_not_checked(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer what fails the check against forged forms: Django's CSRF_FAILURE_VIEW."""
    setattr(request, "refused_as", NOT_CHECKED)  # noqa: B010 - mypy knows no such attribute
    return csrf_failure(request, reason)
