"""Pages of passkeys: a log-in with one, and adding, renaming and removing them."""

from http import HTTPStatus
from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from staff.login import factors, sessions
from staff.login.pages import on_to, page, show_codes, way_back
from staff.login.proof import asks_of, proof_asked
from staff.login.sessions import get_in, go_on, is_half_way, is_staff
from staff.models import Passkey, User
from staff.models.passkey import CHALLENGE_SECONDS, NAME_LENGTH
from staff.models.second_factor import has_factor
from web.errors.refusals import Refusal
from web.input.text import clean_line


@require_POST
def challenge(request: HttpRequest) -> HttpResponse:
    """Answer the options with which a browser asks for a passkey."""
    if not is_staff(request):  # Sessions of strangers must not last, nor pile up.
        request.session.set_expiry(CHALLENGE_SECONDS)
        request.session.clear_expired()
    return _begin(request, Passkey.request_options())


@require_POST
def log_in(request: HttpRequest) -> HttpResponse:
    """Log in by a passkey alone, instead of password and code."""
    try:
        passkey = factors.verify_passkey(request.session, request.POST.get("credential", ""))
    except ValidationError as failure:
        messages.error(request, failure.messages[0])
        return on_to("login", request)
    sessions.log_in(request, passkey.user, sessions.PASSKEY)
    sessions.prove(request.session)
    return HttpResponseRedirect(way_back(request))


def add(request: HttpRequest) -> HttpResponse:
    """Show a form for the name; answer the name with options; store the passkey then made."""
    user = cast(User, request.user)
    if is_half_way(request):
        if has_factor(user):
            return on_to("second_factor", request)
    elif asks_of(user) and (asked := proof_asked(request, "Add a passkey")):
        return asked
    error = ""
    try:
        if "credential" in request.POST:
            return _add(request, request.POST["credential"])
        if request.method == "POST":
            return _begin(request, Passkey.creation_options(user), _name(request))
    except ValidationError as failure:
        error = failure.messages[0]
    except Refusal as refusal:
        # No 400, in place of which a page would be shown.
        return JsonResponse({"error": refusal.message}, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    template, title = "login/passkey_add", "Add a passkey"
    return page(request, template, title=title, error=error, name_length=NAME_LENGTH)


def _add(request: HttpRequest, answer: str) -> HttpResponse:
    challenge, name = sessions.take_challenge(request.session, answer)
    made = Passkey.made_by(cast(User, request.user), name, answer, challenge)
    if made is None or not name:  # Without a name the challenge was begun to show one.
        raise ValidationError("Your authenticator gave no valid answer. Try again.")
    codes = factors.add_passkey(made)
    if codes is None:
        messages.success(request, f"The {made} is added.")
        return HttpResponseRedirect(way_back(request))
    go_on(request)
    if is_half_way(request):
        get_in(request, "new passkey")
    return show_codes(request, codes, back=way_back(request))


@require_POST
def rename(request: HttpRequest, pk: int) -> HttpResponse:
    if (asked := proof_asked(request, "Rename a passkey")) is not None:
        return asked
    passkey = get_object_or_404(Passkey, pk=pk, user=cast(User, request.user))
    try:
        factors.rename_passkey(passkey, _name(request))
    except Refusal as refusal:
        messages.warning(request, refusal.message)
    return redirect("admin:second_factor")


def _begin(request: HttpRequest, options: dict[str, Any], name: str = "") -> HttpResponse:
    """Store the challenge of these options in the session, and answer them."""
    request.session[sessions.CHALLENGE] = [options["challenge"], sessions.now(), name]
    return JsonResponse(options)


def _name(request: HttpRequest) -> str:
    """Return the name that was typed. Raises ParameterInvalid, ContainsApiKey."""
    return clean_line(request.POST.get("name", ""), field="The name", max_length=NAME_LENGTH)
