"""What Django's accounts lack: failures are logged, people are told, and names hold no keys."""

import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_login_failed
from django.core.mail import send_mail
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

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


@receiver(user_login_failed)
def log_failed_login(
    credentials: Mapping[str, Any], request: HttpRequest | None, **_: object
) -> None:
    """Write one line for each."""
    log_failure("failed log-in", credentials.get("username", ""))


def log_failure(what: str, username: str) -> None:
    """Write who was tried, from where; the name cut and redacted: people paste keys there."""
    fields = {"user": quote_input(username), "address": current().address}
    logger.warning(what, extra={"fields": fields})


def told(user: User, what: str) -> None:
    """Mail to a member of staff, once it is committed, that this was done to the account.

    Nothing is sent without an address, or if EMAIL_URL is not set. A mail that cannot be sent is a
    line of the log.
    """
    text = f"""On the account {user.get_username()} {what}.

At {format_moment(timezone.now())}, from {current().address or "the command line"}.

Was that not you? Then tell a superuser at once, who can reset your second factor and disable the
account under {settings.PUBLIC_URL}/admin/.
"""

    def send() -> None:
        send_mail(f"ReachScore keys: {what}", text, None, [user.email])

    if user.email:
        transaction.on_commit(send, robust=True)
