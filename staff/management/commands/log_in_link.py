from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse

from audit.actor import Actor
from staff.login.sso import links
from staff.models import User
from web.commands import VerbCommand


class Command(VerbCommand):
    help = (
        "Print a link that logs a member of staff in once, within ten minutes, if single sign-on "
        "or the password does not work. The second factor is still asked for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True)

    def run(self, **options: Any) -> str:
        name, reason = options["username"], options["reason"]
        user = User.objects.filter(username=name, is_active=True, is_staff=True).first()
        if user is None:
            raise CommandError("There is no active member of staff of this name.")
        user.record("log_in_link_made", actor=Actor.cli(), reason=reason)
        path = reverse("log_in_link", args=[user.pk, links.make_token(user)])
        self.tell("It works once, within ten minutes. Anybody who has the link can log in.")
        return f"{settings.PUBLIC_URL}{path}"
