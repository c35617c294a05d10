"""Authenticator apps (TOTP) and recovery codes. A stolen row is useless without ENCRYPTION_KEYS."""

import hmac
import secrets
from base64 import b32encode
from textwrap import wrap
from typing import Final, Self, cast

from django.conf import settings
from django.db import models
from django_otp.plugins.otp_totp.models import TOTPDevice

from staff.models.passkey import Passkey
from staff.models.user import User

SECRET_BYTES: Final = 20  # What apps expect, RFC 4226 §4.
# Each wrong code doubles the wait, from one second up to 2**9 (nine minutes). Without this limit,
# a thief of the password could lock its owner out for good.
MOST_DOUBLINGS: Final = 10
RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 10  # Sixteen characters of base32.
GROUP: Final = 4


def derive(key_id: int, purpose: str, message: str) -> bytes:
    """Return the HMAC (32 bytes) of `message` under a key of ENCRYPTION_KEYS for this purpose."""
    key = hmac.digest(settings.ENCRYPTION_KEYS[key_id], purpose.encode(), "sha256")
    return hmac.digest(key, message.encode(), "sha256")


def signing_key_id() -> int:
    """Return the number of the key for new apps and codes: the first of ENCRYPTION_KEYS."""
    return next(iter(settings.ENCRYPTION_KEYS))


def has_factor(user: User) -> bool:
    return any(model.objects.filter(user=user).exists() for model in (SecondFactor, Passkey))


def users_by_key() -> dict[int, list[str]]:
    """Return for each key in use a user name for each app and recovery code that depends on it."""
    found: dict[int, list[str]] = {}
    apps = SecondFactor.objects.select_related("user")
    codes = RecoveryCode.objects.values_list("key_id", "user__username")
    for key_id, name in (*((app.key_id, app.user.username) for app in apps), *codes):
        found.setdefault(key_id, []).append(name)
    return found


class SecondFactor(TOTPDevice):
    """An authenticator app, not stored while it is being set up. `key` is a number of
    ENCRYPTION_KEYS and a random seed, in hexadecimal."""

    class Meta:
        proxy = True
        default_permissions = ()

    def __str__(self) -> str:
        return "authenticator app"

    @classmethod
    def of(cls, user: User) -> Self | None:
        found: Self | None = cls.objects.filter(user=user).first()
        return found

    @staticmethod
    def new_key() -> str:
        return f"{signing_key_id():04x}{secrets.token_hex(32)}"

    @property
    def key_id(self) -> int:
        return int(self.key[:4], 16)

    @property
    def bin_key(self) -> bytes:
        """The secret that the app is told. It depends on the user: a moved row is useless."""
        derived = derive(self.key_id, "authenticator app", f"{self.user_id} {self.key}")
        return derived[:SECRET_BYTES]

    @property
    def secret_in_letters(self) -> str:
        """The secret in base32, in groups of four, to type into the app."""
        return " ".join(wrap(b32encode(self.bin_key).decode(), GROUP))

    def is_verified_by(self, code: str) -> bool:
        """Return True if the code is the current one, and save its use. The caller holds a lock."""
        is_listed = self.key_id in settings.ENCRYPTION_KEYS
        return is_listed and cast(bool, self.verify_token(code))

    def throttle_increment(self, commit: bool = True) -> None:
        """Save a wrong code if the app is stored. The wait doubles at most MOST_DOUBLINGS times."""
        super().throttle_increment(commit=False)
        self.throttling_failure_count = min(self.throttling_failure_count, MOST_DOUBLINGS)
        if commit and not self._state.adding:
            self.save(update_fields=["throttling_failure_timestamp", "throttling_failure_count"])


class RecoveryCode(models.Model):
    """A code to log in with after a loss of the app: random, shown once, deleted when used."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.BinaryField(unique=True)
    key_id = models.PositiveSmallIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"of {self.user}"

    @classmethod
    def renew(cls, user: User) -> list[str]:
        """Replace all codes and return the new ones. The caller records it, in one transaction."""
        cls.objects.filter(user=user).delete()
        made = [secrets.token_bytes(RECOVERY_BYTES) for _ in range(RECOVERY_CODES)]
        codes = [b32encode(each).decode().lower() for each in made]
        key_id = signing_key_id()
        for code in codes:
            cls.objects.create(user=user, key_id=key_id, digest=_digest(key_id, user, code))
        return ["-".join(wrap(code, GROUP)) for code in codes]

    @classmethod
    def matching(cls, user: User, typed: str) -> models.QuerySet[Self]:
        """Return a queryset of the user's code that was typed, empty if it is wrong."""
        code = typed.replace("-", "").lower()
        digests = [_digest(key_id, user, code) for key_id in settings.ENCRYPTION_KEYS]
        return cls.objects.filter(user=user, digest__in=digests)


def _digest(key_id: int, user: User, code: str) -> bytes:
    return derive(key_id, "recovery code", f"{user.pk} {key_id} {code}")
