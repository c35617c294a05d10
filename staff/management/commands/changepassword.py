from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from staff.login.proof import record_new_password
from staff.models import User


class Command(changepassword.Command):
    """Django's own, which is found after this one; it records that a password was set."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        users = User.objects.filter(username=options["username"])
        with transaction.atomic():  # The password and its event; nothing is locked while it asks.
            before = users.first()
            said = super().handle(*args, **options)
            with AuditLog.of(SERVICE) as audit:
                record_new_password(audit, before, actor=Actor.cli())
        return said
