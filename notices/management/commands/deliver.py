import logging
import math
import signal
import time
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, connection

from notices.deliver.mails import deliver_next
from notices.leaks import queue
from notices.models import Lane, LaneName
from web.deadlines import waits
from web.errors.faults import describe_fault

logger = logging.getLogger("reachscore.deliver")

LANES: Final[Mapping[LaneName, Callable[[], bool]]] = {
    LaneName.REPORTS: queue.work_off,
    LaneName.MAILS: deliver_next,
}
PAUSE: Final = 0.5  # Seconds between two looks at an empty queue.
# After a fault of the database. It does not grow: a reported key waits for the end of a fail-over.
PAUSE_AFTER_FAULT: Final = 1.0
LONGEST_PAUSE: Final = 15.0  # After a bug, whose traceback is logged each time.
BEAT: Final = 10.0


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
            for name, work_off in LANES.items():
                Lane.beat(name)
                while work_off():
                    pass
            return
        stop = Event()
        for end in (signal.SIGTERM, signal.SIGINT):
            signal.signal(end, lambda *_: stop.set())
        # In threads of their own, so that no slow mail server delays a kill.
        threads = [Thread(target=work, args=(name, stop), name=name) for name in LANES]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(1)  # With an end: the handler of a signal runs between two.


def work(name: LaneName, stop: Event) -> None:
    """Work a lane off until `stop`, through every fault: of the database, and of one report."""
    pause, beats_at = 0.0, 0.0
    while not stop.wait(pause):
        try:
            if time.monotonic() >= beats_at:
                Lane.beat(name)
                beats_at = time.monotonic() + BEAT
            pause = 0 if LANES[name]() else PAUSE
        except Exception as error:
            connection.close()  # It may be broken.
            if isinstance(error, DatabaseError | InterfaceError):
                pause = PAUSE_AFTER_FAULT
                fault = describe_fault(error)
                logger.warning("%s: database fault, again in %.0f s: %s", name, pause, fault)
            else:
                pause = min(max(1.0, 2 * pause), LONGEST_PAUSE)
                logger.exception("%s: bug, again in %.0f s", name, pause)
    connection.close()
