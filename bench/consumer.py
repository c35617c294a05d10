"""One process that consumes as a sibling service does: `python -m bench.consumer FILE SECONDS`.

FILE holds plaintexts. Prints how many were granted a second.
"""

import os
import random
import sys
import time
from pathlib import Path

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reachscore.settings")
    django.setup()
    # After the set-up, as for every module that holds models.
    from django.utils import timezone  # noqa: PLC0415

    from accounts.models import Meter  # noqa: PLC0415
    from apikeys.callers import find_caller  # noqa: PLC0415
    from apikeys.meters import consume  # noqa: PLC0415

    plaintexts = Path(sys.argv[1]).read_text().split()
    callers = [find_caller(one, now=timezone.now()) for one in plaintexts]
    for caller in callers[:50]:
        consume(caller, Meter.TESTS)
    granted, began = 0, time.monotonic()
    while (took := time.monotonic() - began) < float(sys.argv[2]):
        consume(random.choice(callers), Meter.TESTS)
        granted += 1
    sys.stdout.write(f"{granted / took}\n")


if __name__ == "__main__":
    main()
