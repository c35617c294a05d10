from typing import Any

from django.core.management.base import BaseCommand

from apikeys.models import KeySecret
from web.commands import print_uses


class Command(BaseCommand):
    help = (
        "Print how many secrets that could still authenticate hang on each pepper, a line each: "
        "number, secrets, role. A pepper on which none hangs any more can be dropped. Exits 1 when "
        "one that is needed is missing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        print_uses(self, "API_KEY_PEPPERS", KeySecret.objects.count_by_pepper(), {})
