from typing import Any, Final

from django.core.management.base import BaseCommand

from staff.models.second_factor import users_by_key
from web.commands import print_uses

MOST_NAMES: Final = 50


class Command(BaseCommand):
    help = (
        "Print how many apps and recovery codes of staff depend on each of ENCRYPTION_KEYS, a line "
        "each: number, count, role, and for old keys the users who must set up another app. Drop a "
        "key when its count is 0. Exits 1 if one that is needed is missing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        counts, names = {}, {}
        for number, users in users_by_key().items():
            different = sorted(set(users))
            more = f",+{len(different) - MOST_NAMES}" if len(different) > MOST_NAMES else ""
            counts[number], names[number] = len(users), ",".join(different[:MOST_NAMES]) + more
        print_uses(self, "ENCRYPTION_KEYS", counts, names)
