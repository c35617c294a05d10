"""What is done to second factors: each an event, and a mail to the person."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.login.failures import told
from staff.models import RecoveryCode, SecondFactor, User
from staff.models.second_factor import has_factor
from web.input.text import clean_reason

DIGITS_OF_APPS = 6


def verify(user: User, typed: str) -> bool:
    """Return True if a code of the app, or a recovery code, was typed; each counts once.

    A wrong code of an app makes the next one wait; recovery codes wait for nobody.
    """
    code = "".join(typed.split())
    if len(code) == DIGITS_OF_APPS and code.isdecimal():
        with transaction.atomic():
            # Locked, so that of two senders of one code one is refused.
            app = SecondFactor.objects.select_for_update().filter(user=user).first()
            return app is not None and app.is_verified_by(code)
    found = RecoveryCode.matching(user, code)
    if not found.exists():  # A wrong one takes no lock.
        return False
    with AuditLog.of(SERVICE) as audit:
        if not found.delete()[0]:
            return False
        audit.record("staff.recovery_code_used", user, actor=Actor.staff(user))
    told(user, "a recovery code was used")
    return True


def confirm(app: SecondFactor, code: str, *, replaced: SecondFactor | None) -> list[str] | None:
    """Store this app in place of `replaced` and return new recovery codes; end all sessions.

    Return None for a wrong code, and if another than `replaced` is in force by now: of several that
    are set up at once, the first counts.
    """
    user = app.user
    with AuditLog.of(SERVICE) as audit:
        if SecondFactor.of(user) != replaced or not app.is_verified_by(code):
            return None
        SecondFactor.objects.filter(user=user).exclude(pk=app.pk).delete()
        changes = {"second_factor": (replaced and str(replaced), str(app))}
        audit.record("staff.second_factor_set_up", user, actor=Actor.staff(user), changes=changes)
        codes = RecoveryCode.renew(user)
        user.end_sessions()
    told(user, "an authenticator app was set up")
    return codes


def remove(factor: SecondFactor) -> None:
    """Remove one of a person's factors and end all their sessions.

    Raises ValidationError if it is the only one and one is required.
    """
    user = factor.user
    with AuditLog.of(SERVICE) as audit:
        if not type(factor).objects.filter(pk=factor.pk).delete()[0]:
            return
        if not has_factor(user):
            if settings.SECOND_FACTOR_REQUIRED:
                raise ValidationError("This is your only second factor. Add another one first.")
            RecoveryCode.objects.filter(user=user).delete()
        changes = {"second_factor": (str(factor), None)}
        audit.record("staff.second_factor_removed", user, actor=Actor.staff(user), changes=changes)
        user.end_sessions()
    told(user, f"your {factor} was removed")


def make_recovery_codes(user: User) -> list[str]:
    """Return new recovery codes in place of all others."""
    with AuditLog.of(SERVICE) as audit:
        codes = RecoveryCode.renew(user)
        audit.record("staff.recovery_codes_made", user, actor=Actor.staff(user))
    told(user, "new recovery codes were made")
    return codes


def reset(user: User, *, actor: Actor, reason: str) -> bool:
    """Delete all factors and recovery codes and end all sessions. Return False if none was.

    Raises ParameterInvalid, ContainsApiKey for the reason, which must be given.
    """
    reason = clean_reason(reason)
    with AuditLog.of(SERVICE) as audit:
        user.end_sessions()
        RecoveryCode.objects.filter(user=user).delete()
        if not SecondFactor.objects.filter(user=user).delete()[0]:
            return False
        changes = {"second_factor": ("authenticator app", None)}
        audit.record("staff.second_factor_reset", user, actor=actor, reason=reason, changes=changes)
    told(user, "your second factor was reset")
    return True
