"""The admin's own site, and the pages of the second factor."""

from contextlib import suppress
from functools import partial
from typing import Any, Final, cast
from urllib.parse import urlsplit

import segno
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse
from django.views.decorators.http import require_POST

from audit.models import SERVICE, AuditLog
from staff.login import factors, pages, passkeys, sessions
from staff.login.lockout import LOCKED_OUT, attempt, is_locked_out
from staff.login.pages import on_to, page, way_back
from staff.login.proof import ProofForm, asks_of, proof_asked
from staff.login.sessions import get_in, go_on, is_half_way, is_staff
from staff.models import Passkey, SecondFactor, User
from staff.models.second_factor import has_factor

OWN: Final = "admin:second_factor"  # The page of one's own second factors.


class StaffSite(admin.AdminSite):
    """Django's admin for staff whose session goes on and has shown every factor that is asked."""

    site_header = site_title = "ReachScore keys"
    index_title = "What needs attention"
    enable_nav_sidebar = False  # Links over the page take less room, and the lists are wide.

    def has_permission(self, request: HttpRequest) -> bool:
        is_over = sessions.end_of(request.session) or is_half_way(request)
        return super().has_permission(request) and not is_over

    def get_urls(self) -> list[URLPattern | URLResolver]:
        half_way: Any = staff_member_required(login_url="admin:login")
        inside, factor, key = self.admin_view, "second_factor/", "passkeys/"
        urls: tuple[tuple[str, Any, str], ...] = (
            (factor, half_way(second_factor), "second_factor"),
            (f"{factor}set_up/", half_way(set_up), "second_factor_set_up"),
            (f"{factor}leave/", half_way(self.logout), "second_factor_leave"),
            (f"{factor}recovery_codes/", inside(recovery_codes), "recovery_codes"),
            (f"{factor}remove_app/", inside(remove), "remove_app"),
            (f"{key}add/", half_way(passkeys.add), "passkey_add"),
            (f"{key}<int:pk>/rename/", inside(passkeys.rename), "passkey_rename"),
            (f"{key}<int:pk>/remove/", inside(remove), "passkey_remove"),
            # Open to anybody.
            (f"{key}challenge/", passkeys.challenge, "passkey_challenge"),
            (f"{key}log_in/", passkeys.log_in, "passkey_log_in"),
        )
        return [*(path(slug, view, name=name) for slug, view, name in urls), *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add where passkeys work: `passkeys_host` is compared with the request's."""
        url = settings.PUBLIC_URL
        where = {"passkeys_at": url, "passkeys_host": urlsplit(url).netloc}
        return {**super().each_context(request), **where}

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Ask for name and password; then for the second factor, if one is asked."""
        if request.method == "GET" and is_staff(request) and is_half_way(request):
            return on_to("second_factor", request)
        response = super().login(request, extra_context)
        if request.method == "POST" and isinstance(response, HttpResponseRedirect):
            if is_half_way(request):
                return on_to("second_factor", request)
            get_in(request)
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "POST" and not is_half_way(request):
            cast(User, request.user).record("logged_out")
        return super().logout(request, extra_context)

    def password_change(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Django's page, which ends all other sessions of the account; and an event."""
        if (asked := proof_asked(request, "Change your password")) is not None:
            return asked
        user = cast(User, request.user)
        if (old := request.POST.get("old_password")) is not None:  # That page counts no wrong ones.
            name = user.get_username()
            with suppress(ValidationError):
                attempt(name, partial(user.check_password, old), "failed log-in", "")
            if is_locked_out(name):
                return pages.not_let_in(request, LOCKED_OUT)
        with AuditLog.of(SERVICE):
            user.refresh_from_db()  # Django saves all fields: none may be of before the lock.
            response = super().password_change(request, *args, **kwargs)
            if isinstance(response, HttpResponseRedirect):
                user.record_new_password()
        return response


def second_factor(request: HttpRequest) -> HttpResponse:
    """Half-way, ask for a code or passkey; else show the user's second factors."""
    user = cast(User, request.user)
    app = SecondFactor.of(user)
    if not is_half_way(request):
        title, newest = "Your second factor", pages.newest_code(user)
        return page(request, "login/second_factor", title=title, app=app, newest=newest)
    if not has_factor(user):
        return on_to("second_factor_set_up", request)
    form = ProofForm(request, "code")
    if form.is_valid():
        get_in(request, "passkey" if form.shows_passkey else "code")
        return HttpResponseRedirect(way_back(request))
    title = "Your code" if app else "Your passkey"
    return page(request, "login/code", title=title, form=form, app=app)


def set_up(request: HttpRequest) -> HttpResponse:
    """Show a secret as a QR code until the app's code is typed, then recovery codes, once."""
    user, half_way = cast(User, request.user), is_half_way(request)
    if half_way and has_factor(user):
        return on_to("second_factor", request)
    # The proof keeps a stolen session from getting a factor. Only users who can give none, because
    # single sign-on is all they have, may set up their first one without.
    must_prove = not half_way and asks_of(user)
    if must_prove and (asked := proof_asked(request, "Set up your second factor")):
        return asked
    if pages.is_sent_again(request):
        return pages.show_codes(request, None, back=reverse(OWN))
    # The same until it is confirmed or the proof given anew.
    key = request.session.setdefault(sessions.APP_KEY, SecondFactor.new_key())
    app = SecondFactor(user=user, key=key)
    form = ProofForm(request, "code", take=partial(factors.confirm, app))
    if form.is_valid():
        del request.session[sessions.APP_KEY]
        go_on(request)
        if half_way:
            get_in(request, "new app")
        return pages.show_codes(request, form.taken, back=way_back(request))
    title, newest = "Set up your second factor", pages.newest_code(user)
    picture = segno.make_qr(app.config_url, error="m").svg_inline(scale=5, light="#fff")
    shown: Any = {"title": title, "form": form, "app": app, "picture": picture, "newest": newest}
    return page(request, "login/set_up", **shown)


@require_POST
def recovery_codes(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    if (asked := proof_asked(request, "New recovery codes")) is not None:
        return asked
    if not has_factor(user):
        return HttpResponseRedirect(reverse(OWN))
    codes = None if pages.is_sent_again(request) else factors.make_recovery_codes(user)
    return pages.show_codes(request, codes, back=reverse(OWN))


@require_POST
def remove(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Remove a passkey, or without `pk` the app, unless it is the only factor and required."""
    user = cast(User, request.user)
    factor: SecondFactor | Passkey | None = SecondFactor.of(user)
    if pk is not None:
        factor = user.passkeys.filter(pk=pk).first()
    if (asked := proof_asked(request, f"Remove your {factor or 'factor'}")) is not None:
        return asked
    if factor is not None:
        try:
            factors.remove(factor)
        except ValidationError as error:
            messages.warning(request, error.message)
        else:
            messages.success(request, f"Your {factor} is removed.")
            go_on(request)
    return HttpResponseRedirect(reverse(OWN))
