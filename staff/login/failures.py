"""What Django's own staff accounts lack: failed log-ins are logged, and names hold no keys."""

import logging
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from staff.models import User
from web.input.text import refuse_key
from web.origin import current_origin
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
    fields = {"user": quote_input(username), "address": current_origin().address}
    logger.warning(what, extra={"fields": fields})
