import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.db import transaction

from audit.actor import Actor
from staff.models import User


class Command(changepassword.Command):
    """Replaces Django's command of this name. It also records the change, and saves the password
    alone: Django's saves the whole old row, and an account disabled meanwhile is active again."""

    def handle(self, *args: Any, **options: Any) -> str:
        name = options["username"] or getpass.getuser()
        if (user := User.objects.filter(username=name).first()) is None:
            raise CommandError("No account has this user name.")
        password = getpass.getpass(f"New password of {user}: ")
        if password != getpass.getpass("The same again: "):
            raise CommandError("The two passwords differ. Nothing was changed.")
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        user.set_password(password)
        with transaction.atomic():
            user.save(update_fields=["password"])
            user.record_new_password(actor=Actor.cli())
        return f"The password of {user} is changed."
