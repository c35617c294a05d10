from typing import Any

from django.core.management.base import CommandError, CommandParser

from audit.actor import Actor
from staff.login.factors import reset
from staff.models import User
from web.commands import VerbCommand


class Command(VerbCommand):
    help = (
        "Delete all second factors of a member of staff who lost them, and print the name. Ends "
        "the user's sessions. They set up a new factor at the next log-in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True)

    def run(self, **options: Any) -> str:
        if (user := User.objects.filter(username=options["username"]).first()) is None:
            raise CommandError("There is no member of staff of this name.")
        if reset(user, actor=Actor.cli(), reason=options["reason"]):
            self.tell("Reset. A new one is set up at the next log-in.")
        else:
            self.tell("There was none. All sessions have ended.")
        return user.get_username()
