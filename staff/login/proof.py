"""Step-up authentication: the proof once more, before what a stolen session must not do."""

import re
from typing import Any, Final, cast

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from staff.login.forms import ProofForm
from staff.login.lockout import forget_tries
from staff.login.sessions import is_half_way, is_proved, prove
from staff.models import User
from staff.models.second_factor import has_factor
from web.redaction import holds_key

PREFIX: Final = "proof"  # Of the names of its fields, which stand among others.
SECRET_NAME: Final = re.compile("password|code|credential")
NOT_CARRIED: Final = {"csrfmiddlewaretoken", "next"}


def proved(request: HttpRequest) -> bool:
    """Return True if the user gave the proof within 15 minutes, or gives it with this very form.

    The proof is what `asks_of` names, or a passkey. A user of whom it can ask nothing has no proof
    to give.

    If not, do nothing of what was sent: show the page again, filled in with `request.POST`, which
    has lost its passwords, codes and keys. `login/proof.html` asks for the proof in its form.
    """
    if is_proved(request.session):
        return True
    if not hasattr(request, "proof"):
        user, sent = cast(User, request.user), request.POST
        asks = asks_of(user)
        is_sent = any(name.startswith(f"{PREFIX}-") for name in sent)
        form = ProofForm(sent if is_sent else None, request, user, *asks, prefix=PREFIX)
        if asks and form.is_valid():
            forget_tries(user.get_username())
            prove(request.session)
            return True
        setattr(request, "proof", form)  # noqa: B010 - mypy knows no such attribute
        request.POST = without_secrets(request.POST)  # type: ignore[assignment]
    return False


def asks_of(user: User) -> tuple[str, ...]:
    """Return what the user's proof consists of: the password unless it is shut, a code if any."""
    has_password = settings.STAFF_PASSWORD_LOGIN and user.has_usable_password()
    return (*["password"] * has_password, *["code"] * has_factor(user))


def proof_asked(request: HttpRequest, title: str) -> HttpResponse | None:
    """Return a page that asks for the proof alone, None if it is given.

    For what cannot be shown before, and for forms of nothing but secrets: the page carries what
    else was sent. If nothing was, the proof leads on to the page that was asked for.
    """
    if proved(request):
        carried = request.POST.keys() - NOT_CARRIED
        if carried and all(name.startswith(f"{PREFIX}-") for name in carried):
            return HttpResponseRedirect(request.get_full_path())
        return None
    fields = [pair for pair in request.POST.items() if pair[0] not in NOT_CARRIED]
    return page(request, "proof_first", title=title, carried=fields)


def page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    """Return a page about getting in, which no cache keeps."""
    site = admin.site.each_context(request)
    whole = {**site, "half_way": is_half_way(request), **context}
    response = TemplateResponse(request, f"admin/login/{template}.html", whole)
    response["Cache-Control"] = "no-store"
    return response


def without_secrets(sent: QueryDict) -> QueryDict:
    """Return what was sent without passwords, codes and all that looks like a key."""
    kept = sent.copy()
    for name, values in sent.lists():
        kept.setlist(name, [value for value in values if not holds_key(f"{name} {value}")])
        if SECRET_NAME.search(name) or not kept.getlist(name):
            del kept[name]
    return kept


def way_back(request: HttpRequest) -> str:
    """Return where `next` leads, which may be any text; the home page if not to one of ours."""
    wanted = request.POST.get("next", request.GET.get("next", ""))
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else reverse("admin:index")
