"""The gate that every page about getting in stands behind, and what passing it records."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from staff.login import sessions
from staff.login.failures import record
from staff.login.lockout import forget_tries
from staff.login.proof import page, way_back
from staff.models import RecoveryCode, User

View = TypeVar("View", bound=Callable[..., Any])


def half_way_in(view: View) -> View:
    """Wrap a page for staff who typed the right password, whether or not a code is still asked."""

    @never_cache
    @csrf_protect
    @sensitive_post_parameters()
    @wraps(view)
    def guarded(request: HttpRequest) -> Any:
        end_what_is_over(request)
        if not is_staff(request):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        if not sessions.is_half_way(request):
            sessions.touch(request.session)
        return view(request)

    return cast(View, guarded)


def is_staff(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_staff


def end_what_is_over(request: HttpRequest) -> None:
    """Log out whoever is logged in and should not be any longer, and say why."""
    if request.user.is_authenticated and (why := sessions.end_of(request.session)):
        logout(request)
        messages.info(request, why)


def on_to(name: str, request: HttpRequest) -> HttpResponse:
    """Lead to a page of the log-in, and from there to where somebody wanted to go."""
    query = urlencode({"next": way_back(request)})
    return HttpResponseRedirect(f"{reverse(f'admin:{name}')}?{query}")


def get_in(request: HttpRequest, way: str) -> None:
    """Record that somebody is in, and note in the session that everything asked was shown."""
    record_log_in(request, way)
    sessions.prove(request.session)
    request.session.cycle_key()


def record_log_in(request: HttpRequest, way: str) -> None:
    """Write that somebody is in, and which way."""
    user = cast(User, request.user)
    forget_tries(user.get_username())
    record(user, "logged_in", changes={"way": (None, way)})


def newest_code(user: User) -> int:
    """Return what a form sends along that makes recovery codes: other ones make it stale."""
    codes = RecoveryCode.objects.filter(user=user).order_by("-pk").values_list("pk", flat=True)
    return codes.first() or 0


def is_sent_again(request: HttpRequest) -> bool:
    """Return True if new recovery codes were made since this form was shown, as for a reload."""
    sent = request.POST.get("newest")
    return sent is not None and sent != str(newest_code(cast(User, request.user)))


def show_codes(request: HttpRequest, codes: list[str] | None, *, back: str) -> HttpResponse:
    """Return the page that shows recovery codes once; None: they were shown before."""
    title = "Your recovery codes"
    return page(request, "recovery_codes", title=title, codes=codes, back=back)


def go_on(request: HttpRequest) -> None:
    """Let this session of a user go on, whose sessions were all ended."""
    user = cast(User, request.user)
    user.refresh_from_db()
    update_session_auth_hash(request, user)
