import math
import signal
from threading import Event, Thread
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from notices.deliver.run import LANES, work, work_off
from web.deadlines import waits


class Command(BaseCommand):
    help = (
        "Work off what is due, until SIGTERM: revoke keys of reports, and mail notices. Delivers "
        "at least once. Several may run side by side."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is left")

    def handle(self, *args: Any, **options: Any) -> None:
        waits.limit(math.inf)  # Bounds each wait: a frozen database must not stop it for ever.
        if options["once"]:
            for name in LANES:
                work_off(name)
            return
        stop = Event()
        for end in (signal.SIGTERM, signal.SIGINT):
            signal.signal(end, lambda *_: stop.set())
        threads = [Thread(target=work, args=(name, stop), name=name) for name in LANES]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(1)  # With an end: the handler of a signal runs between two.
