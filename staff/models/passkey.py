"""Passkeys of staff: a second factor, and a log-in by themselves."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.utils import timezone
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import options_to_json_dict, parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from staff.models.user import User

NAME_LENGTH: Final = 60
CHALLENGE_SECONDS: Final = 300
LONGEST_ANSWER: Final = 10_000  # Some 1,500 as a rule, with a key of RSA.
# Verified by fingerprint, face or PIN, a passkey is two factors in one; a discoverable one needs no
# name typed before. Both are required, so that each passkey works wherever one is asked.
VERIFIED: Final = UserVerificationRequirement.REQUIRED
WANTED: Final = AuthenticatorSelectionCriteria(
    resident_key=ResidentKeyRequirement.REQUIRED, user_verification=VERIFIED
)
# What py_webauthn 3.0 raised for 60,000 random answers.
BROKEN: Final = (
    *(WebAuthnException, ValueError, TypeError),
    *(LookupError, AttributeError, RecursionError),
)


class Passkey(models.Model):
    """A public key of a member of staff, whose private half never leaves its authenticator."""

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
        """Return what a browser needs to make a passkey, with a new challenge."""
        ids = cls.objects.filter(user=user).values_list("credential_id", flat=True)
        options = generate_registration_options(
            rp_id=_host(),
            rp_name="ReachScore keys",
            user_id=str(user.pk).encode(),
            user_name=user.get_username(),
            timeout=CHALLENGE_SECONDS * 1000,
            authenticator_selection=WANTED,
            exclude_credentials=[PublicKeyCredentialDescriptor(id=bytes(each)) for each in ids],
        )
        return options_to_json_dict(options)

    @staticmethod
    def request_options() -> dict[str, Any]:
        """Return what a browser needs to ask for a passkey of this site, with a new challenge."""
        options = generate_authentication_options(
            rp_id=_host(), timeout=CHALLENGE_SECONDS * 1000, user_verification=VERIFIED
        )
        return options_to_json_dict(options)

    @classmethod
    def made_by(cls, user: User, name: str, answer: str, challenge: str) -> Passkey | None:
        """Return the new passkey, not saved, that an answer to this challenge holds, if any."""
        try:
            made = verify_registration_response(credential=answer, **_expected(challenge))
        except BROKEN:
            return None
        return cls(
            user=user,
            name=name,
            credential_id=made.credential_id,
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
        )

    @classmethod
    def named_by(cls, answer: str) -> Passkey | None:
        """Return the passkey that an answer names, of an active member of staff, if any."""
        try:
            raw_id = parse_authentication_credential_json(answer).raw_id
        except BROKEN:
            return None
        owned = cls.objects.filter(user__is_active=True, user__is_staff=True)
        return owned.select_related("user").filter(credential_id=raw_id).first()

    def count_after(self, answer: str, challenge: str) -> int | None:
        """Return the counter in an answer to this challenge, None if the answer is not valid."""
        try:
            shown = verify_authentication_response(
                credential=answer,
                credential_public_key=bytes(self.public_key),
                # To be compared by the caller: py_webauthn would do so before it looks at the
                # signature, so that strangers could make it go backwards.
                credential_current_sign_count=0,
                **_expected(challenge),
            )
        except BROKEN:
            return None
        return shown.new_sign_count


def _host() -> str:
    """Return the id of the relying party."""
    return urlsplit(settings.PUBLIC_URL).hostname or ""


def _expected(challenge: str) -> dict[str, Any]:
    return {
        "expected_challenge": base64url_to_bytes(challenge),
        "expected_rp_id": _host(),
        "expected_origin": settings.PUBLIC_URL,
        "require_user_verification": True,
    }
