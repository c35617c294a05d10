"""Nobody guesses passwords for long, and nobody locks out staff by guessing theirs.

Tries are counted by name and address together, so that whoever guesses Sam's password elsewhere
locks out Sam there and not at Sam's desk; and by address alone, so that trying one password on
many names ends as well. Both end by themselves after COOL_OFF.
"""

from collections.abc import Callable
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
from web.origin import current_origin

MOST_TRIES: Final = 10
MOST_TRIES_OF_AN_ADDRESS: Final = 100
LOCKED_OUT: Final = (
    "Too many failed tries from your address. Wait 15 minutes, then try again; nothing shortens it."
)
_MARK: Final = "is_locked_out"

Result = TypeVar("Result")


class LockingBackend(ModelBackend):
    """Django's own check of a password, which ten wrong ones shut for a while."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Return the account whose password this is, None for any other.

        Raises PermissionDenied, which ends the matter, where too many tries have failed.
        """
        if username is None or password is None:
            return None
        check = super().authenticate
        return counted(request, username, lambda: check(request, username, password))


def counted(
    request: HttpRequest | None, username: str, check: Callable[[], Result | None]
) -> Result | None:
    """Return what `check` does, having counted it as a try unless that is something.

    Raises PermissionDenied, without checking, where too many have failed.
    """
    address = current_origin().address
    pair = _pair_of(username, address)
    tries = _take(pair, address)
    if tries is None:
        if request is not None:
            setattr(request, _MARK, True)
        raise PermissionDenied
    result = check()
    if result is not None:
        # Not forgotten yet: behind the right password wrong codes may follow.
        LogInTries.give_back(pair)
        _give_back(address)
    elif tries == MOST_TRIES:
        record_lock_out(username)
    return result


def forget_tries(username: str) -> None:
    """Begin to count anew for this name from this address: somebody is in, with everything."""
    LogInTries.forget(_pair_of(username, current_origin().address))


def is_locked_out(request: HttpRequest) -> bool:
    """Tell whether a try of this request was refused without a look at what was typed."""
    return getattr(request, _MARK, False)


def record_lock_out(username: str) -> None:
    """Write an event, where the name is an account's and the last one is older than COOL_OFF.

    The log is for ever, and strangers decide when this is called: they can make no more events
    than one an account in that time, from however many addresses.
    """
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        return
    with AuditLog.of(SERVICE) as audit:
        lately = AuditEvent.objects.filter(
            organization_id=SERVICE,
            target_id=str(user.pk),
            action="staff.locked_out",
            created_at__gt=timezone.now() - COOL_OFF,
        )
        if not lately.exists():
            audit.record("staff.locked_out", user, actor=Actor.stranger())


def _pair_of(username: str, address: str | None) -> str:
    """Return what stands for this name tried from this address. All unknown addresses are one."""
    return _digest(f"{_place(address)} {username}")


def _take(pair: str, address: str | None) -> int | None:
    """Count a try; return the number for the pair, None where it is one too many for either."""
    if address is not None:
        subject = _digest(_place(address))
        tries = LogInTries.take(subject, most=MOST_TRIES_OF_AN_ADDRESS)
        if tries > MOST_TRIES_OF_AN_ADDRESS:
            return None
    tries = LogInTries.take(pair, most=MOST_TRIES)
    if tries <= MOST_TRIES:
        return tries
    _give_back(address)  # Someone who is locked out and does not see it must not lock the office.
    return None


def _give_back(address: str | None) -> None:
    if address is not None:
        LogInTries.give_back(_digest(_place(address)))


def _place(address: str | None) -> str:
    """One client has the whole of a /64 to choose its IPv6 addresses from."""
    if address is not None and ":" in address:
        return str(ip_network(f"{address}/64", strict=False))
    return str(address)


def _digest(subject: str) -> str:
    """Names are typed by strangers, who type keys and passwords, too: none is kept."""
    return salted_hmac("staff.login.lockout", subject, algorithm="sha256").hexdigest()
