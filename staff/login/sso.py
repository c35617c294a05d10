"""The gate before every page under /admin/: it ends sessions, and lets single sign-on begin them.
The proxy in front names a member of staff in each request of a session; `web.proxies` reads and
checks its header. If that proxy is down, a link of the command `log_in_link` logs in once."""

from typing import Any, Final, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.contrib.auth.views import redirect_to_login
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.login import sessions
from staff.login.lockout import log_failure
from staff.login.pages import not_let_in, on_to, page, way_back
from staff.login.sessions import is_half_way, is_staff, log_in
from staff.models import User
from web.context import current
from web.database.stale import once_more
from web.proxies import STAFF_PATH
from web.redaction import quote_input

LINKS: Final = f"{STAFF_PATH}log_in_link/"
PROXY_ONLY: Final = "Only the single sign-on in front of this address lets staff in."


class SingleSignOn(MiddlewareMixin):
    """Middleware for /admin/ that begins, holds and ends sessions. With STAFF_PASSWORD_LOGIN=false,
    views are reached only with a session of the proxy or a link."""

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        is_ours = request.path_info.startswith(STAFF_PATH)
        return once_more(_before_view)(request) if is_ours else None


def _before_view(request: HttpRequest) -> HttpResponse | None:
    if request.user.is_authenticated and (why := sessions.end_of(request.session)):
        logout(request)
        messages.info(request, f"You were logged out: {why}")
    to_log_in = redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if is_staff(request):
        if why := _why_not_held(request):
            cast(User, request.user).record("session_ended", actor=Actor.stranger(), reason=why)
            logout(request)
            messages.info(request, f"You were logged out: {why}")
            return to_log_in  # What was sent must not be done for the next user.
        if not is_half_way(request):
            sessions.touch(request.session)
    if request.path_info in (reverse("admin:login"), reverse("admin:passkey_log_in")):
        return _log_in(request)
    is_open = is_staff(request) or settings.STAFF_PASSWORD_LOGIN
    return None if is_open or request.path_info.startswith(LINKS) else to_log_in


def _why_not_held(request: HttpRequest) -> str:
    """Return why the session must end although its time is not over; "" if it goes on."""
    way, origin, user = request.session.get(sessions.WAY), current(), cast(User, request.user)
    if way in (sessions.PASSWORD, sessions.PASSKEY):
        return "" if settings.STAFF_PASSWORD_LOGIN else PROXY_ONLY
    is_named = origin.user == (user.sso_name or user.username)
    has_mfa = origin.mfa or way != sessions.SINGLE_SIGN_ON_MFA
    if way == sessions.LINK or (is_named and has_mfa):
        return ""
    return "The single sign-on names nobody any more, or somebody else, or no second factor."


def _log_in(request: HttpRequest) -> HttpResponse | None:
    """Log in the one user of the name in the header, compared exactly. Refuse every other way if
    passwords are shut."""
    origin = current()
    named = origin.user
    if is_staff(request) and request.method == "GET":
        return None
    if request.method != "GET" or not named:
        return None if settings.STAFF_PASSWORD_LOGIN else not_let_in(request, PROXY_ONLY)
    same = Q(sso_name=named) | Q(sso_name=None, username=named)
    found = list(User.objects.filter(same, is_active=True, is_staff=True))
    if len(found) == 1:
        way = sessions.SINGLE_SIGN_ON_MFA if origin.mfa else sessions.SINGLE_SIGN_ON
        log_in(request, found[0], way)
        half_way = is_half_way(request)
        return on_to("second_factor", request) if half_way else redirect(way_back(request))
    log_failure("failed single sign-on", named)
    said = f"The single sign-on calls you {quote_input(named)}. No active account of staff has "
    said += "this SSO name, or this user name and no SSO name."
    if not settings.STAFF_PASSWORD_LOGIN:
        return not_let_in(request, f"{said} A superuser enters it in your account, under Users.")
    messages.warning(request, said)
    return None


class LinkTokens(PasswordResetTokenGenerator):
    """Makes tokens that depend on SECRET_KEY, so that no dump logs in. They end with the account's
    sessions, and with any log-in; Django's end with one in a later second only."""

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return f"{user.pk} {user.get_session_auth_hash()} {user.last_login} {timestamp}"


links: Final = LinkTokens()


def log_in_link(request: HttpRequest, pk: int, token: str) -> HttpResponse:
    """Log in by a link of the command `log_in_link`, after a click: a chat's preview of the link
    does not use it up."""
    user = _linked(pk, token)
    if user is not None and request.method == "POST":
        with AuditLog.of(SERVICE):  # Of two clicks at once, the second finds the link used.
            if (user := _linked(pk, token)) is not None:
                user.record("log_in_link_used")
                log_in(request, user, sessions.LINK)
                return redirect("admin:index")
    if user is None:
        because = "This link was used, is over ten minutes old, or is cut off."
        return not_let_in(request, f"{because} manage.py log_in_link makes one.")
    said = "This link works once, and for ten minutes."
    return page(request, "login/proof_first", title=f"Log in as {user}", said=said)


def _linked(pk: int, token: str) -> User | None:
    user = User.objects.filter(pk=pk, is_active=True, is_staff=True).first()
    return user if user is not None and links.check_token(user, token) else None
