from typing import Any

from django.contrib.staticfiles.management.commands import collectstatic
from django.core.management import call_command


class Command(collectstatic.Command):
    """Django's command, which also renders /docs: one command makes all that pages need."""

    def handle(self, **options: Any) -> str | None:
        if not options["dry_run"]:
            call_command("render_docs")
        return super().handle(**options)
