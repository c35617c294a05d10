"""How long somebody who logged in stays so: eight hours, and half an hour without a click.

A session holds times, the number of the second factor that was shown, and the seed of one that is
being set up; it is written at most once a minute, so that its end may come up to a minute early.
"""

import secrets
from typing import Any, Final, cast

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from staff.models import SecondFactor, User

IDLE_SECONDS: Final = 30 * 60
HALF_WAY_SECONDS: Final = 15 * 60  # Between the password and the second factor.
SECONDS_BETWEEN_WRITES: Final = 60
PROOF_SECONDS: Final = 15 * 60

# What a session holds. The times are Unix times.
BEGAN_AT: Final = "began_at"
SEEN_AT: Final = "seen_at"
PROVED_AT: Final = "password_proved_at"
FACTOR: Final = "second_factor"  # The row that was shown, or ASKED.
ASKED: Final = 0
SEED: Final = "second_factor_seed"  # Of one being set up: the row it replaces, and hex digits.
_END: Final = "_staff_session_end"


def now() -> int:
    return int(timezone.now().timestamp())


@receiver(user_logged_in)
def begin(request: HttpRequest, user: User, **_: Any) -> None:
    """Begin to count; the password was right, and now the second factor is asked, where one is."""
    session = request.session
    session[BEGAN_AT] = session[SEEN_AT] = now()
    if settings.SECOND_FACTOR_REQUIRED or SecondFactor.of(user) is not None:
        session[FACTOR] = ASKED


def end_of(request: HttpRequest) -> str:
    """Return why the session of who is logged in is over, for people to read; empty if it is not.

    Asks the database once a request, and only where a second factor was shown.
    """
    known: str | None = getattr(request, _END, None)
    if known is None:
        known = _end_of(request.session, cast(User, request.user))
        setattr(request, _END, known)
    return known


def _end_of(session: SessionBase, user: User) -> str:
    moment = now()
    began, seen = session.get(BEGAN_AT, 0), session.get(SEEN_AT, 0)
    if moment - began >= settings.SESSION_COOKIE_AGE:
        return "You were logged out: a session lasts eight hours."
    if moment - seen >= IDLE_SECONDS:
        return "You were logged out after half an hour without a click."
    factor = session.get(FACTOR)
    if factor == ASKED:
        late = moment - began >= HALF_WAY_SECONDS
        return "You were logged out: no code came." if late else ""
    if factor is not None and not SecondFactor.objects.filter(pk=factor, user=user).exists():
        return "You were logged out: your second factor was reset or replaced."
    return ""


def is_half_way(request: HttpRequest) -> bool:
    """Tell whether the second factor is still asked of who typed the right password."""
    return cast(bool, request.session.get(FACTOR) == ASKED)


def touch(session: SessionBase) -> None:
    """Note that somebody is there, and correct what a clock ahead of this one has noted."""
    moment = now()
    if abs(moment - session.get(SEEN_AT, 0)) >= SECONDS_BETWEEN_WRITES:
        session[SEEN_AT] = moment
        session[BEGAN_AT] = min(moment, session.get(BEGAN_AT, 0))


def prove(session: SessionBase) -> None:
    """Note that the password was typed just now; a secret that was shown before is not used."""
    session[PROVED_AT] = now()
    session.pop(SEED, None)


def is_proved(session: SessionBase) -> bool:
    """Tell whether it was typed lately enough for what only its owner should do."""
    return cast(bool, 0 <= now() - session.get(PROVED_AT, 0) < PROOF_SECONDS)


def seed_of(session: SessionBase, replaced: SecondFactor | None) -> bytes:
    """Return the seed of the app that this session sets up in place of `replaced`.

    A session has its own, the same until an app is confirmed or the password is typed again.
    """
    row = replaced and replaced.pk
    begun_with, seed = session.get(SEED, (row, None))
    if seed is None or begun_with != row:
        seed = secrets.token_hex(32)
        session[SEED] = [row, seed]
    return bytes.fromhex(seed)
