"""Events about accounts of staff, mails to their owners, and logged failures."""

import logging
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.models import User
from web.context import current
from web.input.moments import format_moment
from web.redaction import quote_input

logger = logging.getLogger("reachscore.security")


def log_failure(what: str, username: str) -> None:
    """Log which user name failed from where, cut and redacted because people paste keys there."""
    fields = {"user": quote_input(username), "address": current().address}
    logger.warning(what, extra={"fields": fields})


def record(
    user: User, action: str, tell: str = "", *, actor: Actor | None = None, **more: Any
) -> None:
    """Record an event of an account, by its owner if no actor is given. After the commit, mail
    `tell` to the owner's address, if there are both. A mail that cannot be sent is logged."""
    with AuditLog.of(SERVICE) as audit:
        audit.record(f"staff.{action}", user, actor=actor or Actor.staff(user), **more)
    text = f"""On the account {user.get_username()} {tell}.

At {format_moment(timezone.now())}, from {current().address or "the command line"}.

Was that not you? Then tell a superuser at once, who can reset your second factor and disable the
account under {settings.PUBLIC_URL}/admin/.
"""

    def send() -> None:
        send_mail(f"ReachScore keys: {tell}", text, None, [user.email])

    if tell and user.email:
        transaction.on_commit(send, robust=True)


def record_new_password(user: User, *, actor: Actor | None = None) -> None:
    """Record that a password was set, and mail the owner. Neither has the password or its hash."""
    record(user, "password_changed", "your password was changed", actor=actor)
