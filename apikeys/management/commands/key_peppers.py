from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apikeys.format import signing_pepper_id
from apikeys.models import KeySecret


class Command(BaseCommand):
    help = (
        "Print how many secrets that could still authenticate hang on each pepper, a line each: "
        "number, secrets, role. A pepper on which none hangs any more can be dropped. Exits 1 when "
        "one that is needed is missing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        counts = KeySecret.count_by_pepper()
        listed = list(settings.API_KEY_PEPPERS)
        missing = sorted(set(counts) - set(listed))
        for pepper_id in [*listed, *missing]:
            role = "signs" if pepper_id == signing_pepper_id() else "verifies"
            if pepper_id in missing:
                role = "MISSING"
            self.stdout.write(f"{pepper_id} {counts.get(pepper_id, 0)} {role}")
        if missing:
            raise CommandError("Put the missing pepper back into API_KEY_PEPPERS, at the end.")
