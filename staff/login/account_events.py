"""What Django's accounts lack: events, mails to the owner, logged failures, names without keys."""

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.models import User
from web.context import current
from web.input.moments import format_moment
from web.input.text import refuse_key
from web.redaction import quote_input

# Django's validators, because these fields have no verb of ours that would call `clean_line`.
for model, names in (
    (User, ("username", "sso_name", "first_name", "last_name", "email")),
    (Group, ("name",)),
):
    for name in names:
        model._meta.get_field(name).validators.append(refuse_key)  # type: ignore[union-attr]

logger = logging.getLogger("reachscore.security")


def log_failure(what: str, username: str) -> None:
    """Write who was tried, from where; the name cut and redacted: people paste keys there."""
    fields = {"user": quote_input(username), "address": current().address}
    logger.warning(what, extra={"fields": fields})


def record(
    user: User, action: str, tell: str = "", *, actor: Actor | None = None, **more: Any
) -> None:
    """Write an event about an account, by its owner if no `actor` is named.

    With `tell`, the owner is mailed once it is committed, unless the account has no address. A mail
    that cannot be sent is a line of the log.
    """
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
    """Write that a password was set, and tell its owner: neither it nor its hash is said."""
    record(user, "password_changed", "your password was changed", actor=actor)
