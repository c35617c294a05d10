from typing import Any

from apikeys.models import RememberedRequest
from reachscore.api.commands import VerbCommand


class Command(VerbCommand):
    help = (
        "Delete what was kept of requests with an Idempotency-Key for longer than the 24 hours in "
        "which they can be retried, and print how many. Run it daily."
    )

    def run(self, **options: Any) -> str:
        return str(RememberedRequest.clear_old())
