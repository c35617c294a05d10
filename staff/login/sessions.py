"""Sessions of staff last eight hours from log-in, and half an hour without a click. They are
written at most once a minute, so that the end may come up to a minute early."""

from typing import Any, Final, cast

from django.conf import settings
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import PermissionDenied, ValidationError
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from staff.login.lockout import forget_tries
from staff.models import User
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
WAY: Final = "way"  # How the session began; in words, because the event of the log-in says it.

PASSWORD: Final = "password"  # noqa: S105 - the word
PASSKEY: Final = "passkey"
LINK: Final = "link"
SINGLE_SIGN_ON: Final = "single sign-on"
SINGLE_SIGN_ON_MFA: Final = "single sign-on with a second factor"


def now() -> int:
    return int(timezone.now().timestamp())


def is_staff(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_staff


def log_in(request: HttpRequest, user: User, way: str) -> None:
    """Log in by another way than the password, and record it unless a second factor is asked."""
    setattr(request, WAY, way)
    login(request, user)
    if not is_half_way(request):
        record_log_in(request)


@receiver(user_logged_in)
def begin(request: HttpRequest, user: User, **_: Any) -> None:
    """Begin to count, and remove what the session held before. Raise PermissionDenied, in every
    view that logs in, if passwords and passkeys are shut."""
    session, way = request.session, getattr(request, WAY, PASSWORD)
    if way in (PASSWORD, PASSKEY) and not settings.STAFF_PASSWORD_LOGIN:
        session.flush()
        raise PermissionDenied
    for name in (PROVED_AT, APP_KEY, CHALLENGE):
        session.pop(name, None)
    session.set_expiry(None)  # A stranger's that asked for a passkey had minutes.
    session[WAY] = way
    session[BEGAN_AT] = session[SEEN_AT] = now()
    is_whole = way in (PASSKEY, SINGLE_SIGN_ON_MFA)
    session[IS_IN] = is_whole or not (settings.SECOND_FACTOR_REQUIRED or has_factor(user))


def get_in(request: HttpRequest, second: str = "") -> None:
    """Record a log-in that is complete now, after this second factor if any."""
    record_log_in(request, second)
    prove(request.session)
    request.session.cycle_key()


def record_log_in(request: HttpRequest, second: str = "") -> None:
    user = cast(User, request.user)
    forget_tries(user.get_username())
    way = " and ".join(filter(None, (request.session[WAY], second)))
    user.record("logged_in", changes={"way": (None, way)})


def go_on(request: HttpRequest) -> None:
    """Let this session go on after all sessions of its user were ended."""
    user = cast(User, request.user)
    user.refresh_from_db()
    update_session_auth_hash(request, user)


def end_of(session: SessionBase) -> str:
    """Return a text that says why a session is over: old, idle or half-way; "" if it is not."""
    moment = now()
    since_began = moment - session.get(BEGAN_AT, 0)
    if since_began >= settings.SESSION_COOKIE_AGE:
        return "a session lasts eight hours."
    if moment - session.get(SEEN_AT, 0) >= IDLE_SECONDS:
        return "half an hour without a click."
    if not session.get(IS_IN) and since_began >= HALF_WAY_SECONDS:
        return "no code came."
    return ""


def is_half_way(request: HttpRequest) -> bool:
    """Return True if the password was right and the second factor is still asked."""
    return not request.session.get(IS_IN)


def touch(session: SessionBase) -> None:
    """Note a click, and correct times that a clock ahead of this one has noted."""
    moment = now()
    if abs(moment - session.get(SEEN_AT, 0)) >= SECONDS_BETWEEN_WRITES:
        session[SEEN_AT] = moment
        session[BEGAN_AT] = min(moment, session.get(BEGAN_AT, 0))


def prove(session: SessionBase) -> None:
    """Note that the user gave the whole proof just now."""
    session[IS_IN], session[PROVED_AT] = True, now()
    session.pop(APP_KEY, None)  # Another person may have seen that app's secret.


def is_proved(session: SessionBase) -> bool:
    return now() - session.get(PROVED_AT, 0) in range(PROOF_SECONDS)


def take_challenge(session: SessionBase, answer: str) -> tuple[str, str]:
    """Remove the challenge; return it and the name of the passkey to be made. Raise ValidationError
    if there is none, if it is too old, or if the answer is too long."""
    challenge, began, name = session.pop(CHALLENGE, ("", 0, ""))
    if not 0 <= now() - began < CHALLENGE_SECONDS or len(answer) > LONGEST_ANSWER:
        raise ValidationError("That took longer than five minutes, or was sent before. Try again.")
    return challenge, name
