"""How long somebody who logged in stays so: eight hours, and half an hour without a click.

A session holds times, whether everything that is asked was shown, and the key of an app that is
being set up; it is written at most once a minute, so that its end may come up to a minute early.
"""

from typing import Any, Final, cast

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from staff.models import SecondFactor, User
from staff.models.passkey import CHALLENGE_SECONDS, LONGEST_ANSWER
from staff.models.second_factor import has_factor

IDLE_SECONDS: Final = 30 * 60
HALF_WAY_SECONDS: Final = 15 * 60  # Between the password and the second factor.
SECONDS_BETWEEN_WRITES: Final = 60
PROOF_SECONDS: Final = 15 * 60

# What a session holds. The times are Unix times.
BEGAN_AT: Final = "began_at"
SEEN_AT: Final = "seen_at"
PROVED_AT: Final = "proved_at"
IS_IN: Final = "is_in"  # False half-way: the password was right, and a second factor is asked.
APP_KEY: Final = "app_key"  # Of one that is being set up.
CHALLENGE: Final = "passkey_challenge"  # With the time it began, and a new passkey's name.
# None if by a password or passkey; LINK; else by the proxy, and whether that asked for a second.
BEGAN_BY: Final = "began_by"
LINK: Final = "link"


def now() -> int:
    return int(timezone.now().timestamp())


@receiver(user_logged_in)
def begin(request: HttpRequest, user: User, **_: Any) -> None:
    """Begin to count, with nothing of what the session held before."""
    session = request.session
    session.set_expiry(None)  # A stranger's that asked for a passkey had minutes.
    session[BEGAN_AT] = session[SEEN_AT] = now()
    session[IS_IN] = not (settings.SECOND_FACTOR_REQUIRED or has_factor(user))
    for name in (PROVED_AT, APP_KEY, CHALLENGE):
        session.pop(name, None)


def end_of(session: SessionBase) -> str:
    """Return a text that says why a session is over: old, idle or half-way; "" if it is not."""
    moment = now()
    since_began = moment - session.get(BEGAN_AT, 0)
    if since_began >= settings.SESSION_COOKIE_AGE:
        return "You were logged out: a session lasts eight hours."
    if moment - session.get(SEEN_AT, 0) >= IDLE_SECONDS:
        return "You were logged out after half an hour without a click."
    if not session.get(IS_IN) and since_began >= HALF_WAY_SECONDS:
        return "You were logged out: no code came."
    return ""


def is_half_way(request: HttpRequest) -> bool:
    """Return True if the second factor is still asked."""
    return not request.session.get(IS_IN)


def touch(session: SessionBase) -> None:
    """Note that somebody is there, and correct what a clock ahead of this one has noted."""
    moment = now()
    if abs(moment - session.get(SEEN_AT, 0)) >= SECONDS_BETWEEN_WRITES:
        session[SEEN_AT] = moment
        session[BEGAN_AT] = min(moment, session.get(BEGAN_AT, 0))


def prove(session: SessionBase) -> None:
    """Note that everything that is asked was shown just now.

    A secret that this session showed before ends: another person may have seen it.
    """
    session[IS_IN], session[PROVED_AT] = True, now()
    session.pop(APP_KEY, None)


def is_proved(session: SessionBase) -> bool:
    """Return True if that was lately enough for what only the owner should do."""
    proved_at: int = session.get(PROVED_AT, 0)
    return 0 <= now() - proved_at < PROOF_SECONDS


def way_of(session: SessionBase) -> str:
    """Return how the session began, in words for the log."""
    ways = {None: "password", LINK: LINK}
    return ways.get(session.get(BEGAN_BY), "single sign-on")


def take_challenge(session: SessionBase, answer: str) -> tuple[str, str]:
    """Return the challenge, which ends with that, and the name of the passkey to be made.

    Raises ValidationError if there is none, if it is too old, or if the answer is too long.
    """
    challenge, began, name = session.pop(CHALLENGE, ("", 0, ""))
    if not 0 <= now() - began < CHALLENGE_SECONDS or len(answer) > LONGEST_ANSWER:
        raise ValidationError("That took longer than five minutes, or was sent before. Try again.")
    return challenge, name


def app_being_set_up(request: HttpRequest) -> SecondFactor:
    """Return this session's own; it is the same until it is confirmed or the proof given anew."""
    key = request.session.setdefault(APP_KEY, SecondFactor.new_key())
    return SecondFactor(user=cast(User, request.user), key=key)
