"""Single sign-on: the proxy in front names a member of staff, in each request of a session.

`web.proxies` reads and checks its header. Here, too, is the way in without that proxy: a
link that works once.
"""

from typing import Any, Final, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.cache import never_cache

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.login import sessions
from staff.login.failures import log_failure, record
from staff.login.gate import end_what_is_over, is_staff, on_to, record_log_in
from staff.login.proof import page, way_back
from staff.login.refused import not_let_in
from staff.login.sessions import BEGAN_BY, LINK
from staff.models import User
from web.context import current
from web.database.stale import once_more
from web.proxies import STAFF_PATH
from web.redaction import quote_input

LINKS: Final = f"{STAFF_PATH}log_in_link/"
PROXY_ONLY: Final = "Only the single sign-on in front of this address lets staff in."


class SingleSignOn(MiddlewareMixin):
    """Begins, holds and ends sessions as the proxy's header says: a middleware, for /admin/ only.

    With STAFF_PASSWORD_LOGIN=false no view is reached without such a session, or one of a link.
    """

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """Return the answer if it is not for a view to give."""
        is_ours = request.path_info.startswith(STAFF_PATH)
        return once_more(_before_view)(request) if is_ours else None


def _before_view(request: HttpRequest) -> HttpResponse | None:
    end_what_is_over(request)
    if is_staff(request) and (why := _why_not_held(request)):
        user = cast(User, request.user)
        record(user, "session_ended", actor=Actor.stranger(), reason=why)
        logout(request)
        messages.info(request, f"You were logged out: {why}")
        # Nothing that was sent is done for anybody else.
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if request.path_info in (reverse("admin:login"), reverse("admin:passkey_log_in")):
        return _log_in(request)
    if is_staff(request) or settings.STAFF_PASSWORD_LOGIN or request.path_info.startswith(LINKS):
        return None
    return redirect_to_login(request.get_full_path(), reverse("admin:login"))


def _why_not_held(request: HttpRequest) -> str:
    """Return why the session of who is logged in ends here; empty if it goes on."""
    began_by, origin = request.session.get(BEGAN_BY), current()
    if began_by is None:
        return "" if settings.STAFF_PASSWORD_LOGIN else PROXY_ONLY
    user = cast(User, request.user)
    if began_by == LINK or (
        origin.user == (user.sso_name or user.username) and (origin.mfa or not began_by)
    ):
        return ""
    return "The single sign-on names nobody any more, or somebody else, or no second factor."


def _log_in(request: HttpRequest) -> HttpResponse | None:
    """Log in whom the header names; refuse every other way if passwords are shut."""
    origin = current()
    named = origin.user
    if is_staff(request) and request.method == "GET":
        return None
    if request.method != "GET" or not named:
        return None if settings.STAFF_PASSWORD_LOGIN else not_let_in(request, PROXY_ONLY)
    if user := _account_of(named):
        _begin(request, user, origin.mfa)
        is_half_way = sessions.is_half_way(request)
        return on_to("second_factor", request) if is_half_way else redirect(way_back(request))
    log_failure("failed single sign-on", named)
    said = f"The single sign-on calls you {quote_input(named)}. No active account of staff has "
    said += "this SSO name, or this user name and no SSO name."
    if not settings.STAFF_PASSWORD_LOGIN:
        return not_let_in(request, f"{said} A superuser enters it in your account, under Users.")
    messages.warning(request, said)
    return None


def _account_of(named: str) -> User | None:
    """Return the one account of this name, compared exactly; None if there is none, or another."""
    same = Q(sso_name=named) | Q(sso_name=None, username=named)
    found = list(User.objects.filter(same, is_active=True, is_staff=True))
    return found[0] if len(found) == 1 else None


def _begin(request: HttpRequest, user: User, began_by: bool | str) -> None:
    """Log in. Our second factor is asked for unless the proxy speaks for one."""
    setattr(request, BEGAN_BY, began_by)
    login(request, user)
    if began_by is True:
        request.session[sessions.IS_IN] = True
    if not sessions.is_half_way(request):
        record_log_in(request, sessions.way_of(request.session))


@receiver(user_logged_in)
def mark_or_refuse(request: HttpRequest, **_: Any) -> None:
    """Note how the session began; refuse any way in that is shut, in the one place all lead by.

    Raises:
        PermissionDenied: passwords and passkeys are shut.
    """
    began_by = getattr(request, BEGAN_BY, None)
    if began_by is None and not settings.STAFF_PASSWORD_LOGIN:
        request.session.flush()
        raise PermissionDenied
    request.session.pop(BEGAN_BY, None)
    if began_by is not None:
        request.session[BEGAN_BY] = began_by


class LinkTokens(PasswordResetTokenGenerator):
    """Makes tokens that hang on SECRET_KEY, so that no dump logs in.

    They end with the account's sessions, and with any log-in, which Django tells by the second.
    """

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return f"{user.pk} {user.get_session_auth_hash()} {user.last_login} {timestamp}"


links: Final = LinkTokens()


@never_cache
def log_in_link(request: HttpRequest, pk: int, token: str) -> HttpResponse:
    """Log in by a link of the command `log_in_link`, once a button is pressed.

    A program that looks at links for people, such as a chat's, uses none up.
    """
    user = _linked(pk, token)
    if user is not None and request.method == "POST":
        with AuditLog.of(SERVICE):  # Of two who press at once the second finds it used.
            user = _linked(pk, token)
            if user is not None:
                record(user, "log_in_link_used")
                _begin(request, user, LINK)
                return redirect("admin:index")
    if user is None:
        because = "This link was used, is over ten minutes old, or is cut off."
        return not_let_in(request, f"{because} manage.py log_in_link makes one.")
    return page(request, "log_in_link", title=f"Log in as {user}")


def _linked(pk: int, token: str) -> User | None:
    user = User.objects.filter(pk=pk, is_active=True, is_staff=True).first()
    return user if user is not None and links.check_token(user, token) else None
