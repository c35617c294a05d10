from typing import Final

from staff.models.second_factor import users_by_key
from web.commands import NumberedKeysCommand

MOST_NAMES: Final = 50


class Command(NumberedKeysCommand):
    help = (
        "Print how many apps and recovery codes of staff depend on each of ENCRYPTION_KEYS, a line "
        "each: number, count, role, and for old keys the users who must set up another app. Drop a "
        "key when its count is 0. Exits 1 if one that is needed is missing."
    )
    setting = "ENCRYPTION_KEYS"

    def counts(self) -> dict[int, int]:
        return {number: len(names) for number, names in users_by_key().items()}

    def names(self, number: int) -> str:
        """Return the users who depend on this key, at most MOST_NAMES of them."""
        names = sorted(set(users_by_key().get(number, ())))
        more = f",+{len(names) - MOST_NAMES}" if len(names) > MOST_NAMES else ""
        return ",".join(names[:MOST_NAMES]) + more
