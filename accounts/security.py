"""Failed log-ins of staff, a line each in the security log."""

import logging
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from reachscore.api.addresses import client_address
from reachscore.api.redaction import quote_input

logger = logging.getLogger("reachscore.security")


@receiver(user_login_failed)
def log_failed_login(
    credentials: Mapping[str, Any], request: HttpRequest | None, **_: object
) -> None:
    """Write who was tried, from where; the name cut and redacted: people paste keys there."""
    address = client_address(request.META) if request is not None else None
    fields = {
        "user": quote_input(credentials.get("username", "")),
        "address": str(address) if address else None,
    }
    logger.warning("failed log-in", extra={"fields": fields})
