"""The second factor of staff: codes of an authenticator app, and recovery codes for its loss."""

from __future__ import annotations

import hmac
import secrets
from base64 import b32encode
from typing import Final
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from django_otp.models import Device, ThrottlingMixin
from django_otp.oath import TOTP

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.models.user import User
from web.input.text import clean_line

ISSUER: Final = "ReachScore keys"
DIGITS: Final = 6
STEP: Final = 30  # Seconds a code is shown.
TOLERANCE: Final = 1  # Steps that a clock may be wrong.
SECRET_BYTES: Final = 20  # What apps expect, RFC 4226 §4.
# Each wrong code doubles the wait for the next, from one second up to some nine minutes: no longer,
# or whoever knows the password could lock its owner out for good.
MOST_DOUBLINGS: Final = 10
THROTTLING: Final = ("throttling_failure_timestamp", "throttling_failure_count")
RECOVERY_CODES: Final = 10
# 31 letters and digits that are not mistaken for one another: 16 of them are 79 random bits.
LETTERS: Final = "23456789abcdefghjkmnpqrstuvwxyz"
RECOVERY_LENGTH: Final = 16
GROUP: Final = 4


def derive(key_id: int, purpose: str, user_id: int, data: bytes) -> bytes:
    """Return the HMAC-SHA-256 of `data` for one account, under a key for this purpose alone.

    The database holds what goes in, or what comes out: never both, and never the key. A row that
    is moved to another account, or to another key's number, is worthless.
    """
    key = hmac.digest(settings.ENCRYPTION_KEYS[key_id], purpose.encode(), "sha256")
    return hmac.digest(key, f"{user_id} {key_id} ".encode() + data, "sha256")


def signing_key_id() -> int:
    """Return the number of the key that what is new hangs on; keys once listed stay so."""
    return next(iter(settings.ENCRYPTION_KEYS))


class SecondFactor(ThrottlingMixin, Device):
    """An authenticator app of a member of staff; one that is being set up is not stored.

    Its secret is not stored, but derived from a random seed: a dump of the database makes no codes.
    """

    # Django's way to leave fields of the base out.
    name = confirmed = None  # type: ignore[assignment]
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="second_factors")
    seed = models.BinaryField()
    key_id = models.PositiveSmallIntegerField(default=signing_key_id)
    last_step = models.BigIntegerField(default=-1, help_text="Of the last code that was taken.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["user"], name="second_factor_one_in_force")]

    def __str__(self) -> str:
        return f"{self.user} since {self.created_at}"

    @classmethod
    def of(cls, user: User) -> SecondFactor | None:
        """Return the one in force."""
        found: SecondFactor | None = cls.objects.filter(user=user).first()
        return found

    @property
    def secret(self) -> bytes:
        """What the app is told once."""
        seed = bytes(self.seed)
        return derive(self.key_id, "second factor", self.user_id, seed)[:SECRET_BYTES]

    @property
    def secret_in_letters(self) -> str:
        """The secret as apps let people type it, in groups."""
        text = b32encode(self.secret).decode()
        return " ".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))

    @property
    def uri(self) -> str:
        """The secret as apps read it from a QR code."""
        label = quote(f"{ISSUER}:{self.user.get_username()}")
        values = {
            "secret": b32encode(self.secret).decode(),
            "issuer": ISSUER,
            "algorithm": "SHA1",
            "digits": DIGITS,
            "period": STEP,
        }
        return f"otpauth://totp/{label}?{urlencode(values, quote_via=quote)}"

    def confirm(self, code: str, *, replaced: SecondFactor | None) -> list[str] | None:
        """Put this one in force in place of `replaced` and return new recovery codes.

        Return None for a wrong code, and if another than `replaced` is in force by now: of many
        that are set up at once, only the first can be confirmed.
        """
        user = self.user
        with AuditLog.of(SERVICE) as audit:
            if SecondFactor.of(user) != replaced or not self._takes(code):
                return None
            SecondFactor.objects.filter(user=user).delete()
            self.save(force_insert=True)
            audit.record(
                "staff.second_factor_set_up",
                user,
                actor=Actor.staff(user),
                changes={"second_factor": ("app" if replaced else None, "app")},
            )
            return RecoveryCode.renew(user)

    @classmethod
    def verify(cls, user: User, code: str) -> bool:
        """Tell whether the code is the app's of now, and take it: it counts once.

        One at a time, so that of two senders of one code one is refused, and a wrong code makes
        the next wait.
        """
        with transaction.atomic():
            factor: SecondFactor | None = cls.objects.select_for_update().filter(user=user).first()
            return factor is not None and factor.verify_token(code)

    @classmethod
    def count_by_key(cls) -> dict[int, int]:
        """Return how many apps hang on each of ENCRYPTION_KEYS."""
        return dict(cls.objects.values_list("key_id").annotate(models.Count("pk")))

    @classmethod
    def some_under_missing_key(cls) -> bool:
        """Return True if a factor cannot be verified because ENCRYPTION_KEYS lacks its key."""
        return cls.objects.exclude(key_id__in=list(settings.ENCRYPTION_KEYS)).exists()

    @classmethod
    def reset(cls, user: User, *, actor: Actor, reason: str) -> bool:
        """Take app and recovery codes away, which ends the user's sessions; False if none was.

        Raises ParameterInvalid, ContainsApiKey for the reason, which must be given.
        """
        reason = clean_line(reason, field="reason", max_length=200)
        with AuditLog.of(SERVICE) as audit:
            RecoveryCode.objects.filter(user=user).delete()
            removed, _ = cls.objects.filter(user=user).delete()
            if removed:
                changes = {"second_factor": ("app", None)}
                audit.record(
                    "staff.second_factor_reset", user, actor=actor, reason=reason, changes=changes
                )
        return removed > 0

    def verify_token(self, token: str) -> bool:
        """Check a code; call it through `verify`, which locks the row."""
        if self.key_id not in settings.ENCRYPTION_KEYS or not self.verify_is_allowed()[0]:
            return False
        if self._takes(token):
            self.throttle_reset(commit=False)
            self.save(update_fields=["last_step", *THROTTLING])
            return True
        self.throttle_increment()
        return False

    def _takes(self, code: str) -> bool:
        """Return True if the code is the app's of now; remember its step, but store nothing."""
        totp = TOTP(self.secret, step=STEP, digits=DIGITS)
        totp.time = timezone.now().timestamp()
        number = int(code) if is_app_code(code) else -1
        is_right: bool = totp.verify(number, tolerance=TOLERANCE, min_t=self.last_step + 1)
        if is_right:
            self.last_step = totp.t()
        return is_right

    def get_throttle_factor(self) -> int:
        """Return the first wait in seconds."""
        return 1

    def throttle_increment(self, commit: bool = True) -> None:
        """Note a wrong code; the wait doubles only so often."""
        super().throttle_increment(commit=False)
        self.throttling_failure_count = min(self.throttling_failure_count, MOST_DOUBLINGS)
        if commit:
            self.save(update_fields=THROTTLING)


class RecoveryCode(models.Model):
    """What lets somebody in who has lost the app: random, shown once, stored as a digest."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.BinaryField(unique=True)
    key_id = models.PositiveSmallIntegerField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"of {self.user}"

    @classmethod
    def renew(cls, user: User) -> list[str]:
        """Return new ones, in place of all that were; inside a transaction that records it."""
        cls.objects.filter(user=user).delete()
        key_id = signing_key_id()
        codes = [
            "".join(secrets.choice(LETTERS) for _ in range(RECOVERY_LENGTH))
            for _ in range(RECOVERY_CODES)
        ]
        RecoveryCode.objects.bulk_create(
            [
                RecoveryCode(user=user, key_id=key_id, digest=_digest(key_id, user, code))
                for code in codes
            ]
        )
        return [
            "-".join(code[at : at + GROUP] for at in range(0, RECOVERY_LENGTH, GROUP))
            for code in codes
        ]

    @classmethod
    def use(cls, user: User, typed: str) -> bool:
        """Tell whether it is one that was not used, and use it: it counts once."""
        code = "".join(typed.split()).replace("-", "").lower()
        digests = [_digest(key_id, user, code) for key_id in settings.ENCRYPTION_KEYS]
        unused = cls.objects.filter(user=user, digest__in=digests, used_at=None)
        if not unused.exists():  # A wrong one waits for nobody, and nobody for it.
            return False
        with AuditLog.of(SERVICE) as audit:
            if not unused.update(used_at=timezone.now()):
                return False
            audit.record("staff.recovery_code_used", user, actor=Actor.staff(user))
        return True

    @classmethod
    def left(cls, user: User) -> int:
        """Count those that were not used."""
        return cls.objects.filter(user=user, used_at=None).count()


def is_app_code(text: str) -> bool:
    """Tell an app's code, right or wrong, from everything else."""
    return len(text) == DIGITS and text.isascii() and text.isdecimal()


def _digest(key_id: int, user: User, code: str) -> bytes:
    return derive(key_id, "recovery code", user.pk, code.encode())
