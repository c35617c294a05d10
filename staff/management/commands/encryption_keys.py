from staff.models import SecondFactor
from web.commands import NumberedKeysCommand


class Command(NumberedKeysCommand):
    help = (
        "Print how many authenticator apps of staff hang on each of ENCRYPTION_KEYS, a line each: "
        "number, apps, role. A number on which none hangs any more can be dropped. Exits 1 when "
        "one that is needed is missing."
    )
    setting = "ENCRYPTION_KEYS"

    def counts(self) -> dict[int, int]:
        return SecondFactor.count_by_key()
