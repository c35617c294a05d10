"""The admin's own site: who is let in, after what, and for how long."""

from functools import partial, wraps
from typing import Any, cast

import segno
from django.contrib import admin
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.login import sessions
from staff.login.forms import CodeForm, LogInForm
from staff.login.gate import (
    View,
    end_what_is_over,
    half_way_in,
    is_staff,
    on_to_second_factor,
    record_log_in,
)
from staff.login.proof import proof_asked, record_new_password, way_back
from staff.models import RecoveryCode, SecondFactor, User


class StaffSite(admin.AdminSite):
    """Lets in staff whose session is young, not idle, and has shown what is asked.

    Every page of the admin goes through `admin_view`, so that none can forget it.
    """

    login_form = LogInForm

    def has_permission(self, request: HttpRequest) -> bool:
        return (
            super().has_permission(request)
            and not sessions.end_of(request)
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
        own: list[URLPattern | URLResolver] = [
            # Open to those who are half-way, which admin_view would send back to the log-in.
            path("second_factor/", half_way_in(self.second_factor), name="second_factor"),
            path("second_factor/set_up/", half_way_in(self.set_up), name="second_factor_set_up"),
            path(
                "second_factor/leave/",
                half_way_in(require_POST(self.leave)),
                name="second_factor_leave",
            ),
            path(
                "second_factor/recovery_codes/",
                self.admin_view(require_POST(self.new_recovery_codes)),
                name="recovery_codes",
            ),
        ]
        return own + super().get_urls()

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Ask for name and password; then for the second factor, where one is asked."""
        end_what_is_over(request)
        if request.method == "GET" and is_staff(request) and sessions.is_half_way(request):
            return on_to_second_factor(request)
        response = super().login(request, extra_context)
        if request.method == "POST" and isinstance(response, HttpResponseRedirect):
            sessions.prove(request.session)
            if sessions.is_half_way(request):
                return on_to_second_factor(request)
            record_log_in(request)
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        user = cast(User, request.user)
        if request.method == "POST":
            with AuditLog.of(SERVICE) as audit:
                audit.record("staff.logged_out", user, actor=Actor.staff(user))
        return super().logout(request, extra_context)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Django's page, which ends all other sessions of the account; and an event."""
        # Nobody counts the wrong answers to that page's own question for the old password.
        if (asked := proof_asked(request, "Change your password")) is not None:
            return asked
        if request.method != "POST":
            return super().password_change(request, extra_context)
        user = cast(User, request.user)
        before = User.objects.get(pk=user.pk)
        with AuditLog.of(SERVICE) as audit:
            response = super().password_change(request, extra_context)
            record_new_password(audit, before, actor=Actor.staff(user))
        return response

    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Ask for a code; or, where that is done, show what somebody's second factor is."""
        user = cast(User, request.user)
        factor = SecondFactor.of(user)
        if not sessions.is_half_way(request):
            context = {"factor": factor, "left": RecoveryCode.left(user)}
            return self._page(request, "second_factor", title="Your second factor", **context)
        if factor is None:
            query = urlencode({"next": way_back(request)})
            return HttpResponseRedirect(f"{reverse('admin:second_factor_set_up')}?{query}")
        form = CodeForm(request, user)
        if form.is_valid():
            self._get_in(request, factor)
            return HttpResponseRedirect(way_back(request))
        return self._page(request, "code", title="Your code", form=form, next=way_back(request))

    def set_up(self, request: HttpRequest) -> HttpResponse:
        """Show a secret as a QR code until the app's code comes back, then recovery codes, once."""
        user = cast(User, request.user)
        factor, half_way = SecondFactor.of(user), sessions.is_half_way(request)
        if half_way and factor is not None:
            return on_to_second_factor(request)
        # A lost session must not get a second factor of the finder's.
        if not half_way and (asked := proof_asked(request, "Set up your second factor")):
            return asked
        begun = SecondFactor(user=user, seed=sessions.seed_of(request.session, factor))
        form = CodeForm(request, user, partial(begun.confirm, replaced=factor))
        if form.is_valid():
            del request.session[sessions.SEED]
            self._get_in(request, begun, first=half_way)
            return self._recovery_codes(request, form.recovery_codes, back=way_back(request))
        return self._page(
            request,
            "set_up",
            title="Set up your second factor",
            form=form,
            picture=segno.make_qr(begun.uri, error="m").svg_inline(scale=5, light="#fff"),
            secret=begun.secret_in_letters,
            next=way_back(request),
        )

    def new_recovery_codes(self, request: HttpRequest) -> HttpResponse:
        """Show new recovery codes in place of all others."""
        page = reverse("admin:second_factor")
        if (asked := proof_asked(request, "New recovery codes")) is not None:
            return asked
        user = cast(User, request.user)
        with AuditLog.of(SERVICE) as audit:
            if SecondFactor.of(user) is None:
                return HttpResponseRedirect(page)
            codes = RecoveryCode.renew(user)
            audit.record("staff.recovery_codes_made", user, actor=Actor.staff(user))
        return self._recovery_codes(request, codes, back=page)

    def leave(self, request: HttpRequest) -> HttpResponse:
        """Let somebody who has no code here log in as somebody else."""
        logout(request)
        return HttpResponseRedirect(reverse("admin:login"))

    def _get_in(self, request: HttpRequest, factor: SecondFactor, *, first: bool = True) -> None:
        """Note in a session with a new key that the second factor was shown."""
        request.session[sessions.FACTOR] = factor.pk
        request.session.cycle_key()
        if first:
            record_log_in(request)

    def _recovery_codes(self, request: HttpRequest, codes: list[str], *, back: str) -> HttpResponse:
        return self._page(
            request, "recovery_codes", title="Your recovery codes", codes=codes, back=back
        )

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        whole = {**self.each_context(request), "half_way": sessions.is_half_way(request), **context}
        response = TemplateResponse(request, f"admin/login/{template}.html", whole)
        response["Cache-Control"] = "no-store"
        return response
