"""What is typed to get in, or once more: a password, a code."""

from collections.abc import Callable
from typing import Any, Final

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import authenticate
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest

from staff.login import factors
from staff.login.failures import log_failure
from staff.login.lockout import LOCKED_OUT, counted, is_locked_out
from staff.models import User

WRONG_CODE: Final = (
    "This is not the code of now, or it was used before, or it came too soon after a wrong one. "
    "Wait for the next one."
)


class LogInForm(AdminAuthenticationForm):
    """Django's, which says so when too many tries have failed."""

    def get_invalid_login_error(self) -> ValidationError:
        if is_locked_out(self.cleaned_data["username"]):
            return ValidationError(LOCKED_OUT, code="locked_out")
        return super().get_invalid_login_error()


class ProofForm(forms.Form):
    """Asks for a password, a code, or both. Wrong ones are counted with those of the log-in.

    `take` says what a code is good for; what it returned is in `taken`. By default a code of the
    app or a recovery code counts, once; and a passkey in place of all that is asked.
    """

    credential = forms.CharField(required=False, widget=forms.HiddenInput)

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "current-password", "class": "vTextField"}
        ),
    )
    code = forms.CharField(
        help_text="Six digits of your app, or a recovery code.",
        max_length=40,
        widget=forms.PasswordInput(  # Which shows no code again: a recovery code may be unused.
            attrs={
                "type": "text",
                "autocomplete": "one-time-code",
                "class": "vTextField",
                "spellcheck": "false",
            }
        ),
    )

    def __init__(
        self,
        data: Any,
        request: HttpRequest,
        user: User,
        *asks: str,
        take: Callable[[str], Any] | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(data, prefix=prefix)
        has_passkey = take is None and user.passkeys.exists()
        self.fields = {name: self.fields[name] for name in (*["credential"] * has_passkey, *asks)}
        self.shows_passkey = has_passkey and bool(self["credential"].data)
        for name in asks:
            self.fields[name].required = not self.shows_passkey
        if asks and (request.method == "POST" or not prefix):  # Else it stands at a page's end.
            self.fields[asks[0]].widget.attrs["autofocus"] = True
        self._request, self._user = request, user
        self._take = take or (lambda code: factors.verify(user, code))
        self.taken: Any = None

    def clean(self) -> None:
        """Check the password, then the code. Nothing is looked at unless all was typed."""
        if self.errors:
            return
        if self.shows_passkey:
            try:
                factors.verify_passkey(
                    self._request.session, self.cleaned_data["credential"], self._user
                )
            except ValidationError as error:
                self.add_error("credential", error)
            return
        name = self._user.get_username()
        if "password" in self.fields:
            password = self.cleaned_data["password"]
            if authenticate(self._request, username=name, password=password) != self._user:
                wrong = "That is not your password."
                self.add_error("password", LOCKED_OUT if is_locked_out(name) else wrong)
                return
        if "code" in self.fields:
            code = self.cleaned_data["code"]
            try:
                self.taken = counted(name, lambda: self._take(code) or None)
            except PermissionDenied:
                self.add_error("code", LOCKED_OUT)
                return
            if not self.taken:
                log_failure("failed second factor", name)
                self.add_error("code", LOCKED_OUT if is_locked_out(name) else WRONG_CODE)
