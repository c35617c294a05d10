"""Step-up authentication: the proof once more, before what a stolen session must not do."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict

from staff.login import factors
from staff.login.lockout import attempt, forget_tries
from staff.login.pages import page
from staff.login.sessions import is_proved, prove
from staff.models import User
from staff.models.second_factor import has_factor
from web.redaction import holds_key

Check = Callable[[str], Any]

PREFIX: Final = "proof"  # Of its field names: it is part of other forms.
SECRET_NAME: Final = re.compile("password|code|credential")
NOT_CARRIED: Final = {"csrfmiddlewaretoken", "next"}
WRONG_CODE: Final = (
    "This is not the current code, or it was used before, or it came too soon after a wrong one. "
    "Wait for the next one."
)
WIDGET: Final = {"class": "vTextField", "spellcheck": "false"}


class ProofForm(forms.Form):
    """Asks for a password, a code, or both. A passkey replaces all that is asked.

    `take` checks the code, if not `factors.verify`; then no passkey is offered, and its result is
    in `taken`.
    """

    credential = forms.CharField(required=False, widget=forms.HiddenInput)
    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password", **WIDGET}),
    )
    code = forms.CharField(
        max_length=40,
        # PasswordInput does not render what was typed: a recovery code may be unused.
        widget=forms.PasswordInput({"type": "text", "autocomplete": "one-time-code", **WIDGET}),
    )

    def __init__(
        self, request: HttpRequest, *asks: str, take: Check | None = None, prefix: str = ""
    ) -> None:
        is_sent = any(name.startswith(f"{prefix}-" if prefix else "") for name in request.POST)
        super().__init__(request.POST if is_sent else None, prefix=prefix)
        self.request, self.user = request, cast(User, request.user)
        self.take, self.taken = take or partial(factors.verify, self.user), None
        has_passkey = take is None and self.user.passkeys.exists()
        self.fields = {name: self.fields[name] for name in (*["credential"] * has_passkey, *asks)}
        self.shows_passkey = has_passkey and bool(self["credential"].data)
        for name in asks:
            self.fields[name].required = not self.shows_passkey
        if asks and (request.method == "POST" or not prefix):  # Else it stands at a page's end.
            self.fields[asks[0]].widget.attrs["autofocus"] = True

    # Each check is skipped if one before has failed, and all are counted with failed log-ins.

    def clean_credential(self) -> None:
        if self.shows_passkey:
            answer = self.cleaned_data["credential"]
            factors.verify_passkey(self.request.session, answer, self.user)

    def clean_password(self) -> None:
        if not self.shows_passkey:
            wrong = "That is not your password."
            self._attempt(self.user.check_password, "password", "failed log-in", wrong)

    def clean_code(self) -> None:
        if not (self.shows_passkey or self.errors):
            self.taken = self._attempt(self.take, "code", "failed second factor", WRONG_CODE)

    def _attempt(self, check: Check, field: str, what: str, wrong: str) -> Any:
        check_typed = partial(check, self.cleaned_data[field])
        return attempt(self.user.get_username(), check_typed, what, wrong)


def proved(request: HttpRequest) -> bool:
    """Return True if the user gave the proof within 15 minutes, or gives it with this very form.

    The proof is what `asks_of` returns, or a passkey. A user of whom it asks nothing can give none.
    If False, do nothing of what was sent: render the page again with `request.POST`, from which
    passwords, codes and keys are removed. `login/proof.html` asks for the proof in its form.
    """
    if is_proved(request.session):
        return True
    if not hasattr(request, "proof"):
        user = cast(User, request.user)
        asks = asks_of(user)
        form = ProofForm(request, *asks, prefix=PREFIX)
        if asks and form.is_valid():
            forget_tries(user.get_username())
            prove(request.session)
            return True
        setattr(request, "proof", form)  # noqa: B010 - mypy knows no such attribute
        request.POST = without_secrets(request.POST)  # type: ignore[assignment]
    return False


def asks_of(user: User) -> tuple[str, ...]:
    """Return the fields of the user's proof: the password unless it is shut, a code if any."""
    has_password = settings.STAFF_PASSWORD_LOGIN and user.has_usable_password()
    return (*["password"] * has_password, *["code"] * has_factor(user))


def proof_asked(request: HttpRequest, title: str) -> HttpResponse | None:
    """Return a page that asks for the proof alone, or None if it is given.

    Use it before pages that show secrets, and for forms of nothing but secrets. The page carries
    what else was sent. If nothing was, the proof redirects to the page that was asked for.
    """
    if proved(request):
        carried = request.POST.keys() - NOT_CARRIED
        if carried and all(name.startswith(f"{PREFIX}-") for name in carried):
            return HttpResponseRedirect(request.get_full_path())
        return None
    fields = [pair for pair in request.POST.items() if pair[0] not in NOT_CARRIED]
    return page(request, "login/proof_first", title=title, carried=fields)


def without_secrets(sent: QueryDict) -> QueryDict:
    """Return what was sent without passwords, codes and all that looks like a key."""
    kept = sent.copy()
    for name, values in sent.lists():
        kept.setlist(name, [value for value in values if not holds_key(f"{name} {value}")])
        if SECRET_NAME.search(name) or not kept.getlist(name):
            del kept[name]
    return kept
