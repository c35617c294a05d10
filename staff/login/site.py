"""The admin's own site: who is let in, after what, and for how long."""

from functools import partial, wraps
from typing import Any, cast

import segno
from django.contrib import admin, messages
from django.contrib.auth import authenticate, logout
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from audit.models import SERVICE, AuditLog
from staff.login import factors, passkeys, sessions
from staff.login.failures import record, record_new_password
from staff.login.forms import LogInForm, ProofForm
from staff.login.gate import (
    View,
    end_what_is_over,
    get_in,
    go_on,
    half_way_in,
    is_sent_again,
    is_staff,
    newest_code,
    on_to,
    show_codes,
)
from staff.login.lockout import LOCKED_OUT, is_locked_out
from staff.login.proof import asks_of, page, proof_asked, way_back
from staff.login.refused import not_let_in
from staff.models import Passkey, RecoveryCode, SecondFactor, User
from staff.models.second_factor import has_factor


class StaffSite(admin.AdminSite):
    """Lets in staff whose session is young, not idle, and has shown what is asked.

    Every page of the admin goes through `admin_view`, so that none can forget it.
    """

    login_form = LogInForm

    def has_permission(self, request: HttpRequest) -> bool:
        return (
            super().has_permission(request)
            and not sessions.end_of(request.session)
            and not sessions.is_half_way(request)
        )

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Wrap a page: a session that is over ends here, and one that is not goes on."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            end_what_is_over(request)
            if self.has_permission(request):
                sessions.touch(request.session)
            return inner(request, *args, **kwargs)

        return cast(View, guarded)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        factor, key, inside = "second_factor/", "passkeys/", self.admin_view
        pages: tuple[tuple[str, Any, str], ...] = (
            # Open to those who are half-way, which admin_view would send back to the log-in.
            (factor, half_way_in(second_factor), "second_factor"),
            (f"{factor}set_up/", half_way_in(set_up), "second_factor_set_up"),
            (f"{factor}leave/", half_way_in(require_POST(leave)), "second_factor_leave"),
            (f"{key}add/", half_way_in(passkeys.add), "passkey_add"),
            # Open to anybody.
            (f"{key}challenge/", passkeys.challenge, "passkey_challenge"),
            (f"{key}log_in/", passkeys.log_in, "passkey_log_in"),
            # Open to those who are in.
            (f"{factor}recovery_codes/", inside(require_POST(recovery_codes)), "recovery_codes"),
            (f"{factor}remove_app/", inside(require_POST(remove_app)), "remove_app"),
            (f"{key}<int:pk>/rename/", inside(require_POST(passkeys.rename)), "passkey_rename"),
            (f"{key}<int:pk>/remove/", inside(require_POST(remove_passkey)), "passkey_remove"),
        )
        return [*(path(slug, view, name=name) for slug, view, name in pages), *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), **passkeys.addresses(request)}

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Ask for name and password; then for the second factor, where one is asked."""
        end_what_is_over(request)
        if request.method == "GET" and is_staff(request) and sessions.is_half_way(request):
            return on_to("second_factor", request)
        response = super().login(request, extra_context)
        if request.method == "POST" and isinstance(response, HttpResponseRedirect):
            if sessions.is_half_way(request):
                return on_to("second_factor", request)
            get_in(request, sessions.way_of(request.session))
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "POST":
            record(cast(User, request.user), "logged_out")
        return super().logout(request, extra_context)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Django's page, which ends all other sessions of the account; and an event."""
        if (asked := proof_asked(request, "Change your password")) is not None:
            return asked
        user = cast(User, request.user)
        if "old_password" in request.POST:  # Tried here, too, where wrong ones are counted.
            name = user.get_username()
            authenticate(request, username=name, password=request.POST["old_password"])
            if is_locked_out(name):
                return not_let_in(request, LOCKED_OUT)
        with AuditLog.of(SERVICE):
            response = super().password_change(request, extra_context)
            if isinstance(response, HttpResponseRedirect):
                record_new_password(user)
        return response


def second_factor(request: HttpRequest) -> HttpResponse:
    """Ask for a code; or, once that is done, show what somebody's second factors are."""
    user = cast(User, request.user)
    if not sessions.is_half_way(request):
        left = RecoveryCode.objects.filter(user=user).count()
        context: dict[str, Any] = {"left": left, "newest": newest_code(user)}
        context |= {"app": SecondFactor.of(user), "passkeys": Passkey.objects.filter(user=user)}
        return page(request, "second_factor", title="Your second factor", **context)
    if not has_factor(user):
        return on_to("second_factor_set_up", request)
    form = ProofForm(request.POST or None, request, user, "code")
    if form.is_valid():
        second = "passkey" if form.shows_passkey else "code"
        get_in(request, f"{sessions.way_of(request.session)} and {second}")
        return HttpResponseRedirect(way_back(request))
    app = SecondFactor.of(user)
    title = "Your code" if app else "Your passkey"
    return page(request, "code", title=title, form=form, next=way_back(request), app=app)


def set_up(request: HttpRequest) -> HttpResponse:
    """Show a secret as a QR code until the app's code comes back, then recovery codes, once."""
    user, half_way = cast(User, request.user), sessions.is_half_way(request)
    if half_way and has_factor(user):
        return on_to("second_factor", request)
    # A lost session must not get a second factor of the finder's, unless it began by single sign-on
    # and this is the first: then the word of the proxy is all there is.
    must_prove = not half_way and asks_of(user)
    if must_prove and (asked := proof_asked(request, "Set up your second factor")):
        return asked
    if is_sent_again(request):
        return show_codes(request, None, back=reverse("admin:second_factor"))
    app = sessions.app_being_set_up(request)
    take = partial(factors.confirm, app)
    form = ProofForm(request.POST or None, request, user, "code", take=take)
    if form.is_valid():
        del request.session[sessions.APP_KEY]
        go_on(request)
        if half_way:
            get_in(request, f"{sessions.way_of(request.session)} and new app")
        return show_codes(request, form.taken, back=way_back(request))
    return page(
        request,
        "set_up",
        title="Set up your second factor",
        form=form,
        picture=segno.make_qr(app.config_url, error="m").svg_inline(scale=5, light="#fff"),
        secret=app.secret_in_letters,
        next=way_back(request),
        newest=newest_code(user),
    )


def recovery_codes(request: HttpRequest) -> HttpResponse:
    """Show new recovery codes in place of all others."""
    back = reverse("admin:second_factor")
    user = cast(User, request.user)
    if (asked := proof_asked(request, "New recovery codes")) is not None:
        return asked
    if not has_factor(user):
        return HttpResponseRedirect(back)
    codes = None if is_sent_again(request) else factors.make_recovery_codes(user)
    return show_codes(request, codes, back=back)


def remove_app(request: HttpRequest) -> HttpResponse:
    """Remove the authenticator app, unless it is the only factor where one is required."""
    return remove(request, SecondFactor.of(cast(User, request.user)))


def remove_passkey(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a passkey, unless it is the only factor where one is required."""
    return remove(request, Passkey.objects.filter(pk=pk, user=cast(User, request.user)).first())


def remove(request: HttpRequest, factor: SecondFactor | Passkey | None) -> HttpResponse:
    """Remove a factor, and lead to those that are left."""
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
    return HttpResponseRedirect(reverse("admin:second_factor"))


def leave(request: HttpRequest) -> HttpResponse:
    """Let somebody who has no code here log in as somebody else."""
    if not sessions.is_half_way(request):
        record(cast(User, request.user), "logged_out")
    logout(request)
    return HttpResponseRedirect(reverse("admin:login"))
