from apikeys.models import KeySecret
from web.commands import NumberedKeysCommand


class Command(NumberedKeysCommand):
    help = (
        "Print how many secrets that could still authenticate hang on each pepper, a line each: "
        "number, secrets, role. A pepper on which none hangs any more can be dropped. Exits 1 when "
        "one that is needed is missing."
    )
    setting = "API_KEY_PEPPERS"

    def counts(self) -> dict[int, int]:
        return KeySecret.objects.count_by_pepper()
