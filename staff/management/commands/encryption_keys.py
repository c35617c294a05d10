from staff.models.second_factor import count_by_key
from web.commands import NumberedKeysCommand


class Command(NumberedKeysCommand):
    help = (
        "Print how many apps and recovery codes of staff hang on each of ENCRYPTION_KEYS, a line "
        "each: number, count, role. A number on which none hangs any more can be dropped. Exits 1 "
        "when one that is needed is missing."
    )
    setting = "ENCRYPTION_KEYS"

    def counts(self) -> dict[int, int]:
        return count_by_key()
