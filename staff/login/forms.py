"""What is typed to get in: a password, a code; and the proof that is asked for later on."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import authenticate
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest

from staff.login.failures import log_failure
from staff.login.lockout import LOCKED_OUT, counted, forget_tries, is_locked_out
from staff.models import RecoveryCode, SecondFactor, User
from staff.models.second_factor import is_app_code


class LogInForm(AdminAuthenticationForm):
    """Django's, which says so when too many tries have failed."""

    def get_invalid_login_error(self) -> ValidationError:
        if self.request is not None and is_locked_out(self.request):
            return ValidationError(LOCKED_OUT, code="locked_out")
        return super().get_invalid_login_error()


class ProofForm(forms.Form):
    """What proves once more who is logged in, checked and counted as at the log-in.

    Part of other forms, so that its fields have a prefix. Bound if one of them was sent.
    """

    prefix = "proof"
    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "current-password", "class": "vTextField"}
        ),
    )

    def __init__(self, request: HttpRequest, user: User) -> None:
        sent = request.POST if any(name.startswith("proof-") for name in request.POST) else None
        super().__init__(sent)
        self._request, self._user = request, user
        if request.method == "POST":  # The page comes back: lead there.
            self.fields["password"].widget.attrs["autofocus"] = True

    def clean_password(self) -> Any:
        """Raises ValidationError for any password but the user's own."""
        password = self.cleaned_data["password"]
        found = authenticate(self._request, username=self._user.get_username(), password=password)
        if found != self._user:
            locked = is_locked_out(self._request)
            raise ValidationError(LOCKED_OUT if locked else "That is not your password.")
        forget_tries(self._user.get_username())
        return password


class CodeForm(forms.Form):
    """A code of the app or, once it is set up, a recovery code; each counts once.

    `confirm` takes the first code of an app that is being set up; it returns recovery codes.
    """

    code = forms.CharField(
        max_length=40,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "autofocus": True,
                "class": "vTextField",
                "spellcheck": "false",
            }
        ),
    )

    def __init__(
        self,
        request: HttpRequest,
        user: User,
        confirm: Callable[[str], list[str] | None] | None = None,
    ) -> None:
        super().__init__(request.POST or None)
        self._request, self._user, self._confirm = request, user, confirm
        self.recovery_codes: list[str] = []

    def clean_code(self) -> str:
        """Take the code; wrong ones are counted with wrong passwords, and make the next wait.

        Raises ValidationError.
        """
        code = "".join(self.cleaned_data["code"].split())
        name = self._user.get_username()
        try:
            if counted(self._request, name, lambda: self._is_right(code) or None):
                return code
        except PermissionDenied:
            raise ValidationError(LOCKED_OUT) from None
        log_failure("failed second factor", name)
        raise ValidationError(
            "This is not the code of now, or it was used before, or it came too soon after a wrong "
            "one. Wait for the next one."
        )

    def _is_right(self, code: str) -> bool:
        if self._confirm is not None:
            self.recovery_codes = self._confirm(code) or []
            return bool(self.recovery_codes)
        if is_app_code(code):
            return SecondFactor.verify(self._user, code)
        return RecoveryCode.use(self._user, code)
