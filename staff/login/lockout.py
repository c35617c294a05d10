"""Ten failures of a name from an address, or a hundred of an address, shut it out for a while.

Failures are counted after the check: tries at once can exceed the limit by the number of threads.
Name and address count together, so that guessing Sam's password locks out nobody at Sam's desk.
"""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_network
from typing import Any, Final, TypeVar

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from audit.actor import Actor
from audit.models import SERVICE, AuditEvent, AuditLog
from staff.models import LogInTries, User
from staff.models.log_in_tries import COOL_OFF
from web.context import current

MOST_TRIES: Final = 10
MOST_TRIES_OF_AN_ADDRESS: Final = 100
LOCKED_OUT: Final = (
    "Too many failed tries from your address. Wait 15 minutes, then try again; nothing shortens it."
)

Result = TypeVar("Result")


class LockingBackend(ModelBackend):
    """Django's check of a password, not run for those who are locked out."""

    def authenticate(self, request: HttpRequest | None, **typed: Any) -> User | None:  # type: ignore[override]
        """Return the account of this name and password, None for wrong ones.

        Raises PermissionDenied, which Django takes for None, if too many failed.
        """
        return counted(typed["username"], partial(super().authenticate, request, **typed))


def counted(username: str, check: Callable[[], Result | None]) -> Result | None:
    """Run `check` and return its result. None counts as a failure of this name and address.

    Raises PermissionDenied, without running it, if too many failed.
    """
    if is_locked_out(username):
        raise PermissionDenied
    result = check()
    if result is None:
        LogInTries.add(*_subjects(username))
        if is_locked_out(username):
            record_lock_out(username)
    return result


def is_locked_out(username: str) -> bool:
    """Return True if no try of this name from this address is looked at now."""
    limits = zip(_subjects(username), (MOST_TRIES, MOST_TRIES_OF_AN_ADDRESS), strict=False)
    return any(LogInTries.count(subject) >= most for subject, most in limits)


def forget_tries(username: str) -> None:
    """Begin to count anew for this name from this address: somebody is in, with everything."""
    LogInTries.objects.filter(subject=_subjects(username)[0]).delete()


def record_lock_out(username: str) -> None:
    """Write an event if the name is an account's and the last one is older than COOL_OFF.

    The log is for ever and strangers decide when this is called, so one an account in that time.
    """
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        return
    with AuditLog.of(SERVICE) as audit:
        former = AuditEvent.objects.filter(target_id=str(user.pk), action="staff.locked_out")
        if not former.filter(created_at__gt=timezone.now() - COOL_OFF).exists():
            audit.record("staff.locked_out", user, actor=Actor.stranger())


def _subjects(username: str) -> list[str]:
    """Return digests of name and address, and of the address if it is known.

    Strangers type keys and passwords as names, so no name is kept. An IPv6 client chooses among the
    addresses of a /64, so that counts as one.
    """
    address = current().address
    if address is not None and ":" in address:
        address = str(ip_network(f"{address}/64", strict=False))
    texts = [f"{address} {username}", *([address] if address else [])]
    return [salted_hmac("log-in tries", text, algorithm="sha256").hexdigest() for text in texts]
