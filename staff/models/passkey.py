"""Passkeys (WebAuthn): a second factor, and a log-in by themselves."""

from collections.abc import Callable
from typing import Any, Final, Self
from urllib.parse import urlsplit

import webauthn
from django.conf import settings
from django.db import models
from django.utils import timezone
from webauthn import helpers
from webauthn.helpers import structs
from webauthn.helpers.exceptions import WebAuthnException

from staff.models.user import User

NAME_LENGTH: Final = 60
CHALLENGE_SECONDS: Final = 300
LONGEST_ANSWER: Final = 10_000  # An answer with an RSA key has about 1,500 characters.
# With user verification (fingerprint, face or PIN) a passkey is two factors in one. A discoverable
# one needs no user name. Both are required, so that each passkey works on every page that asks.
VERIFIED: Final = structs.UserVerificationRequirement.REQUIRED
WANTED: Final = structs.AuthenticatorSelectionCriteria(
    resident_key=structs.ResidentKeyRequirement.REQUIRED, user_verification=VERIFIED
)


class Passkey(models.Model):
    """The public key of a passkey. The private key never leaves the authenticator."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="passkeys")
    name = models.CharField(max_length=NAME_LENGTH)
    credential_id = models.BinaryField(unique=True)
    public_key = models.BinaryField()
    sign_count = models.BigIntegerField(help_text="Of its last answer; 0 if it does not count.")
    last_challenge = models.CharField(max_length=100, default="")
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"passkey {self.name}"

    @classmethod
    def creation_options(cls, user: User) -> dict[str, Any]:
        """Return the options with which a browser makes a passkey, with a new challenge."""
        ids = cls.objects.filter(user=user).values_list("credential_id", flat=True)
        known = [structs.PublicKeyCredentialDescriptor(id=bytes(each)) for each in ids]
        options = webauthn.generate_registration_options(
            rp_id=_host(),
            rp_name="ReachScore keys",
            user_id=str(user.pk).encode(),
            user_name=user.get_username(),
            timeout=CHALLENGE_SECONDS * 1000,
            authenticator_selection=WANTED,
            exclude_credentials=known,
        )
        return helpers.options_to_json_dict(options)

    @staticmethod
    def request_options() -> dict[str, Any]:
        """Return the options with which a browser asks for a passkey, with a new challenge."""
        options = webauthn.generate_authentication_options(
            rp_id=_host(), timeout=CHALLENGE_SECONDS * 1000, user_verification=VERIFIED
        )
        return helpers.options_to_json_dict(options)

    @classmethod
    def made_by(cls, user: User, name: str, answer: str, challenge: str) -> Self | None:
        """Return the new passkey, unsaved, in a valid answer to this challenge, else None."""
        expected = _expected(challenge)
        made = _read(webauthn.verify_registration_response, credential=answer, **expected)
        if made is None:
            return None
        held = {"credential_id": made.credential_id, "public_key": made.credential_public_key}
        return cls(user=user, name=name, sign_count=made.sign_count, **held)

    @classmethod
    def named_by(cls, answer: str) -> Self | None:
        """Return the passkey that an answer names if its user is active staff, else None."""
        said = _read(helpers.parse_authentication_credential_json, answer)
        owned = cls.objects.filter(user__is_active=True, user__is_staff=True)
        return said and owned.select_related("user").filter(credential_id=said.raw_id).first()

    def count_after(self, answer: str, challenge: str) -> int | None:
        """Return the counter in a valid answer to this challenge, else None."""
        shown = _read(
            webauthn.verify_authentication_response,
            credential=answer,
            credential_public_key=bytes(self.public_key),
            # The caller compares it. py_webauthn compares before it checks the signature, so that
            # strangers could fake a counter that goes backwards.
            credential_current_sign_count=0,
            **_expected(challenge),
        )
        return None if shown is None else int(shown.new_sign_count)


def _read(check: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Return what `check` returns, or None if it raises what py_webauthn 3.0 was seen to raise."""
    try:
        return check(*given, **named)
    except (WebAuthnException, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _host() -> str:
    """Return the relying party's id."""
    return urlsplit(settings.PUBLIC_URL).hostname or ""


def _expected(challenge: str) -> dict[str, Any]:
    return {
        "expected_challenge": helpers.base64url_to_bytes(challenge),
        "expected_rp_id": _host(),
        "expected_origin": settings.PUBLIC_URL,
        "require_user_verification": True,
    }
