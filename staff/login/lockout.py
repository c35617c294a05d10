"""Lock-out: ten failures of a name from an address, or a hundred of an address, for 15 minutes.
Failures are counted after the check: tries at once can exceed the limit by the number of threads.
Name and address count together, so that guessing Sam's password locks out nobody at Sam's desk."""

import logging
from collections.abc import Callable
from functools import partial
from ipaddress import ip_network
from typing import Any, Final, TypeVar

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from audit.actor import Actor
from audit.models import SERVICE, AuditEvent, AuditLog
from staff.models import LogInTries, User
from staff.models.log_in_tries import COOL_OFF
from web.context import current
from web.redaction import quote_input

MOST_TRIES: Final = 10
MOST_TRIES_OF_AN_ADDRESS: Final = 100
LOCKED_OUT: Final = (
    "Too many failed tries from your address. Wait 15 minutes, then try again; nothing shortens it."
)
WRONG: Final = AdminAuthenticationForm.error_messages["invalid_login"] % {"username": "username"}

logger = logging.getLogger("reachscore.security")

Result = TypeVar("Result")


class LockingBackend(ModelBackend):
    """Django's check of a password, which is not run during a lock-out."""

    def authenticate(self, request: HttpRequest | None, **typed: Any) -> User:  # type: ignore[override]
        """Return the account. Raises ValidationError, which the log-in form shows."""
        check = partial(super().authenticate, request, **typed)
        return attempt(typed["username"], check, "failed log-in", WRONG)


def attempt(username: str, check: Callable[[], Result | None], what: str, wrong: str) -> Result:
    """Run `check` and return its result. Log and count None or False as a failure, called `what`.
    Raise ValidationError: `wrong`; or LOCKED_OUT if too many failed, without running `check`."""
    is_shut = is_locked_out(username)
    if not is_shut:
        if result := check():
            return result
        LogInTries.add(*_subjects(username))
        if is_shut := is_locked_out(username):
            record_lock_out(username)
    is_known = User.objects.filter(username=username).exists()  # Others may be passwords.
    log_failure(what, username if is_known else "(nobody's)")
    raise ValidationError(LOCKED_OUT if is_shut else wrong)


def is_locked_out(username: str) -> bool:
    """Return True if tries of this name from this address are refused now."""
    limits = zip(_subjects(username), (MOST_TRIES, MOST_TRIES_OF_AN_ADDRESS), strict=False)
    return any(LogInTries.count(subject) >= most for subject, most in limits)


def forget_tries(username: str) -> None:
    """Reset the count of this name from this address, after a complete log-in or proof."""
    LogInTries.objects.filter(subject=_subjects(username)[0]).delete()


def record_lock_out(username: str) -> None:
    """Write an event if the name is an account's: at most one in COOL_OFF, because strangers decide
    when this is called, and events are kept for ever."""
    if (user := User.objects.filter(username=username, is_active=True).first()) is None:
        return
    with AuditLog.of(SERVICE):
        former = AuditEvent.objects.filter(target_id=str(user.pk), action="staff.locked_out")
        if not former.filter(created_at__gt=timezone.now() - COOL_OFF).exists():
            user.record("locked_out", actor=Actor.stranger())


def log_failure(what: str, username: str) -> None:
    """Log which user name failed from where, cut and redacted because people paste keys there."""
    fields = {"user": quote_input(username), "address": current().address}
    logger.warning(what, extra={"fields": fields})


def _subjects(username: str) -> list[str]:
    """Return digests of name and address, and of the address if it is known. No name is kept, for
    strangers type keys and passwords. An IPv6 client has a /64, so that is one address."""
    address = current().address
    if address is not None and ":" in address:
        address = str(ip_network(f"{address}/64", strict=False))
    texts = [f"{address} {username}", *([address] if address else [])]
    return [salted_hmac("log-in tries", text, algorithm="sha256").hexdigest() for text in texts]
