"""Passkeys of staff: a second factor, and a log-in by themselves."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
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
MOST_PASSKEYS: Final = 20  # Of one person: the browser is told all of them.
CHALLENGE_SECONDS: Final = 300
# Of one that attests nothing; with a key of RSA some 1,500 characters.
LONGEST_ANSWER: Final = 10_000
# User verification (fingerprint, face, PIN) makes a passkey two factors in one; discoverable ones
# need no name typed before. Both are required, so that each passkey works wherever one is asked.
VERIFIED: Final = UserVerificationRequirement.REQUIRED
# All that py_webauthn 3.0 raised for 60,000 random answers.
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
        options = generate_registration_options(
            rp_id=_host(),
            rp_name="ReachScore keys",
            user_id=_handle(user),
            user_name=user.get_username(),
            timeout=CHALLENGE_SECONDS * 1000,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=VERIFIED
            ),
            exclude_credentials=_descriptors(user),
        )
        return options_to_json_dict(options)

    @classmethod
    def request_options(cls, user: User | None) -> dict[str, Any]:
        """Return what a browser needs to ask for a passkey: the user's, or anybody's if None."""
        options = generate_authentication_options(
            rp_id=_host(),
            timeout=CHALLENGE_SECONDS * 1000,
            allow_credentials=_descriptors(user) if user else None,
            user_verification=VERIFIED,
        )
        return options_to_json_dict(options)

    @classmethod
    def made_by(cls, user: User, name: str, credential: str, challenge: str) -> Passkey:
        """Return the new passkey that an authenticator made for this challenge; do not save it.

        Raises ValidationError if it did not.
        """
        refused = ValidationError("Your authenticator gave no valid answer. Try again.")
        if not name or len(credential) > LONGEST_ANSWER:  # No name: begun to show one.
            raise refused
        try:
            made = verify_registration_response(
                credential=credential,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=_host(),
                expected_origin=settings.PUBLIC_URL,
                require_user_verification=True,
            )
        except BROKEN:
            raise refused from None
        return cls(
            user=user,
            name=name,
            credential_id=made.credential_id,
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
        )

    @classmethod
    def shown_by(cls, credential: str) -> Passkey | None:
        """Return the passkey that an answer names, before it is verified.

        None if it is broken, too long, unknown, or not of an active member of staff.
        """
        if len(credential) > LONGEST_ANSWER:
            return None
        try:
            answer = parse_authentication_credential_json(credential)
        except BROKEN:
            return None
        owned = cls.objects.filter(user__is_active=True, user__is_staff=True)
        found = owned.select_related("user").filter(credential_id=answer.raw_id).first()
        handle = answer.response.user_handle
        return found if found and handle in (None, _handle(found.user)) else None

    def count_after(self, credential: str, challenge: str) -> int | None:
        """Return the counter in an answer to this challenge, None if the answer is not valid."""
        try:
            shown = verify_authentication_response(
                credential=credential,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=_host(),
                expected_origin=settings.PUBLIC_URL,
                credential_public_key=bytes(self.public_key),
                # It is for the caller to compare: py_webauthn does so before it looks at the
                # signature, where strangers could make it go backwards.
                credential_current_sign_count=0,
                require_user_verification=True,
            )
        except BROKEN:
            return None
        return shown.new_sign_count


def _host() -> str:
    """Return the id of the relying party."""
    return urlsplit(settings.PUBLIC_URL).hostname or ""


def _handle(user: User) -> bytes:
    """Return what authenticators know an account by; it must say nothing about the person."""
    return str(user.pk).encode()


def _descriptors(user: User) -> list[PublicKeyCredentialDescriptor]:
    ids = Passkey.objects.filter(user=user).values_list("credential_id", flat=True)
    return [PublicKeyCredentialDescriptor(id=bytes(found)) for found in ids]
