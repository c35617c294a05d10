"""Check and change second factors. Each change is an event and a mail to the owner."""

from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.login import sessions
from staff.login.lockout import attempt
from staff.models import Passkey, RecoveryCode, SecondFactor, User
from staff.models.second_factor import has_factor
from web.input.text import clean_reason

DIGITS_OF_APPS: Final = 6
REFUSED: Final = (
    "This passkey was refused: it is not known here, was removed, or gave no valid answer. "
    "Try again, or use another way in."
)


def verify(user: User, typed: str) -> bool:
    """Return True if a code of the app, or a recovery code, was typed. Each counts once. After a
    wrong code of an app, the next one must wait; a recovery code need not."""
    code = "".join(typed.split())
    if len(code) == DIGITS_OF_APPS and code.isdecimal():
        with transaction.atomic():
            # Locked, so that of two senders of one code one is refused.
            app = SecondFactor.objects.select_for_update().filter(user=user).first()
            return app is not None and app.is_verified_by(code)
    found = RecoveryCode.matching(user, code)
    if not found.exists():  # So that wrong codes do not lock the audit log.
        return False
    with AuditLog.of(SERVICE):
        if not found.delete()[0]:
            return False
        user.record("recovery_code_used", "a recovery code was used")
    return True


def verify_passkey(session: SessionBase, answer: str, user: User | None = None) -> Passkey:
    """Return the passkey that a valid answer to the open challenge names: the user's, or any.
    Raise ValidationError, and count the failure with wrong passwords, if there is none."""
    challenge, _ = sessions.take_challenge(session, answer)
    named = Passkey.named_by(answer)
    owner = user or (named and named.user)

    def check() -> Passkey | None:
        is_good = named and named.user == owner and _take(named, answer, challenge)
        return named if is_good else None

    return attempt(owner.get_username() if owner else "", check, "failed passkey", REFUSED)


def _take(passkey: Passkey, answer: str, challenge: str) -> bool:
    """Return True if the answer is valid, and count it once. Record an event if its counter did
    not grow: then a copy of the passkey is in use."""
    if (count := passkey.count_after(answer, challenge)) is None:
        return False
    # One statement, so that of two answers at once to one challenge one is refused.
    unused = Passkey.objects.filter(pk=passkey.pk).exclude(last_challenge=challenge)
    if unused.filter(sign_count__lt=max(count, 1)).update(
        sign_count=count, last_challenge=challenge, last_used_at=timezone.now()
    ):
        return True
    if copied := unused.first():
        tell = f"your {copied} was refused, because a copy of it seems to be in use"
        changes = {"passkey": (copied.name,) * 2, "sign_count": (copied.sign_count, count)}
        copied.user.record("passkey_refused", tell, actor=Actor.stranger(), changes=changes)
    return False


def confirm(app: SecondFactor, code: str) -> list[str] | None:
    """Store this app instead of any other, end all sessions and return new recovery codes. Return
    None if the code is wrong, or if the sessions were ended meanwhile: the first factor counts."""
    user = app.user
    with AuditLog.of(SERVICE):
        if not user.is_current() or not app.is_verified_by(code):
            return None
        replaced = SecondFactor.objects.filter(user=user).exclude(pk=app.pk).delete()[0]
        changes = {"second_factor": (str(app) if replaced else None, str(app))}
        user.record("second_factor_set_up", "an authenticator app was set up", changes=changes)
        user.end_sessions()
        return RecoveryCode.renew(user)


def add_passkey(passkey: Passkey) -> list[str] | None:
    """Store a passkey. If it is the first factor, end all sessions and return recovery codes. Raise
    ValidationError if it is stored already, or if the user's sessions were ended meanwhile."""
    user = passkey.user
    with AuditLog.of(SERVICE):
        if not user.is_current():
            raise ValidationError("Your session has ended. Log in again.")
        if Passkey.objects.filter(credential_id=passkey.credential_id).exists():
            raise ValidationError("This passkey is known here already.")
        is_first = not has_factor(user)
        passkey.save(force_insert=True)
        changes = {"passkey": (None, passkey.name)}
        user.record("passkey_added", f"the {passkey} was added", changes=changes)
        if not is_first:
            return None
        user.end_sessions()
        return RecoveryCode.renew(user)


def rename_passkey(passkey: Passkey, name: str) -> None:
    with AuditLog.of(SERVICE):
        if Passkey.objects.filter(pk=passkey.pk).exclude(name=name).update(name=name):
            tell = f"the {passkey} was renamed to {name}"
            changes = {"passkey": (passkey.name, name)}
            passkey.user.record("passkey_renamed", tell, changes=changes)


def remove(factor: SecondFactor | Passkey) -> None:
    """Delete a factor and end all sessions of its user. Raise ValidationError if it is the only one
    and one is required."""
    user = factor.user
    with AuditLog.of(SERVICE):
        if not type(factor).objects.filter(pk=factor.pk).delete()[0]:
            return
        if not has_factor(user):
            if settings.SECOND_FACTOR_REQUIRED:
                raise ValidationError("This is your only second factor. Add another one first.")
            RecoveryCode.objects.filter(user=user).delete()
        kind = "passkey" if isinstance(factor, Passkey) else "second_factor"
        changes = {kind: (getattr(factor, "name", "") or str(factor), None)}
        user.record(f"{kind}_removed", f"your {factor} was removed", changes=changes)
        user.end_sessions()


def make_recovery_codes(user: User) -> list[str]:
    with AuditLog.of(SERVICE):
        user.record("recovery_codes_made", "new recovery codes were made")
        return RecoveryCode.renew(user)


def reset(user: User, *, actor: Actor, reason: str) -> bool:
    """Delete all factors and recovery codes, and end all sessions. Return False if there was none.
    Raise what `clean_reason` raises.
    """
    more: dict[str, Any] = {"actor": actor, "reason": clean_reason(reason)}
    with AuditLog.of(SERVICE):
        user.end_sessions()
        RecoveryCode.objects.filter(user=user).delete()
        found = [*SecondFactor.objects.filter(user=user), *Passkey.objects.filter(user=user)]
        for factor in found:
            factor.delete()
        if found:
            changes = {"second_factor": (", ".join(map(str, found)), None)}
            tell = "your second factor was reset"
            user.record("second_factor_reset", tell, changes=changes, **more)
    return bool(found)
