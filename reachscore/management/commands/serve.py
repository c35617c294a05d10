import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from reachscore.server import refuse_taken_port, server_command
from web.output.portal import RENDERED


class Command(BaseCommand):
    help = "Run the production server in place of this process (exec)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, help="default: one per core")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.MAY_SERVE:
            raise CommandError(
                "DATABASE_URL is not set. Set it, or name its file: manage.py --env-file FILE "
                "serve. For development there is `make run`; DEBUG=true serves its database."
            )
        host, port = options["host"], options["port"]
        refuse_taken_port(host, port, another="--port 8001")
        made = (Path(settings.STATIC_ROOT or "", "staticfiles.json"), RENDERED)
        if settings.PRODUCTION and not all(path.exists() for path in made):
            raise CommandError(
                "Static files are not collected, or /docs is not rendered: run manage.py "
                "collectstatic --noinput first."
            )
        command = server_command(host=host, port=port, workers=options["workers"])
        os.execv(command[0], command)  # noqa: S606 - no shell is needed
