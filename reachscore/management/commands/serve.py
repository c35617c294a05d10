import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from reachscore.server import server_command


class Command(BaseCommand):
    help = "Serve with the production server; this process becomes it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, help="default: one a core")

    def handle(self, *args: Any, **options: Any) -> None:
        command = server_command(
            host=options["host"], port=options["port"], workers=options["workers"]
        )
        os.execv(command[0], command)  # noqa: S606 - no shell is what is wanted
