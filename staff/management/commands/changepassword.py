from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from audit.actor import Actor
from staff.login.account_events import record_new_password
from staff.models import User


class Command(changepassword.Command):
    """Django's command of this name, which this one replaces. It also records the change."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        with transaction.atomic():  # The password and its event. Nothing is locked while it asks.
            said = super().handle(*args, **options)
            for user in User.objects.filter(username=options["username"]):
                record_new_password(user, actor=Actor.cli())
        return said
