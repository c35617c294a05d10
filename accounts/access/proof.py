"""The password once more, before what a stolen or forgotten session must not do."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from accounts.access.sessions import is_proved
from accounts.models import Actor, AuditLog, User

Owner = TypeVar("Owner")
P = ParamSpec("P")
View = Callable[Concatenate[Owner, HttpRequest, P], HttpResponse]


def require_recent_password(view: View[Owner, P]) -> View[Owner, P]:
    """Ask for the password first where it was not typed within 15 minutes; then come back.

    For methods and actions of a ModelAdmin. Nothing that was sent is kept: the way back is a GET.
    """

    @wraps(view)
    def asking(
        owner: Owner, request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        return password_needed(request) or view(owner, request, *args, **kwargs)

    return cast(View[Owner, P], asking)


def password_needed(request: HttpRequest, back: str | None = None) -> HttpResponse | None:
    """Return the way to the page that asks for the password, None where it was typed lately.

    It leads on to `back`, an address of our own; by default to the one that was asked for.
    """
    if is_proved(request.session):
        return None
    query = urlencode({"next": back or request.get_full_path()})
    return HttpResponseRedirect(f"{reverse('admin:password_again')}?{query}")


def way_back(request: HttpRequest) -> str:
    """Return where `next` leads, which may be any text; the home page if not to one of ours."""
    wanted = request.POST.get("next", request.GET.get("next", ""))
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else reverse("admin:index")


def record_new_password(audit: AuditLog, user: User | None, *, actor: Actor) -> None:
    """Record that the password is another than in `user`, as it was read before, if it is.

    Only that: neither password nor hash has a place in a log.
    """
    if user is not None and not User.objects.filter(pk=user.pk, password=user.password).exists():
        audit.record("staff.password_changed", user, actor=actor)
