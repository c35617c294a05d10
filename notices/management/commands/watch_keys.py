from typing import Any

from notices.watch import watch_keys
from web.commands import VerbCommand


class Command(VerbCommand):
    help = (
        "Note keys that expire in 30, 7 or 1 days, have expired, or were unused for 90 days, so "
        "that `deliver` tells the contacts of their organizations. Prints how many. Run it daily."
    )

    def run(self, **options: Any) -> str:
        return f"{watch_keys()} notices"
