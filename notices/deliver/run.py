"""Running of the lanes: each in a thread of its own, so that no slow mail server delays a kill."""

import logging
import time
from collections.abc import Callable, Mapping
from threading import Event
from typing import Final

from django.db import DatabaseError, InterfaceError, connection

from notices.deliver.mails import deliver_next
from notices.leaks import queue
from notices.models import Lane, LaneName
from web.errors.faults import describe_fault

logger = logging.getLogger("reachscore.deliver")

LANES: Final[Mapping[LaneName, Callable[[], bool]]] = {
    LaneName.REPORTS: queue.work_off,
    LaneName.MAILS: deliver_next,
}
PAUSE: Final = 0.5  # Seconds between two looks at an empty queue.
LONGEST_PAUSE: Final = 15.0  # After faults.
BEAT: Final = 10.0


def work_off(name: LaneName) -> None:
    """Work a lane off until nothing is left that is due."""
    Lane.beat(name)
    while LANES[name]():
        pass


def work(name: LaneName, stop: Event) -> None:
    """Work a lane off until `stop`, through every fault: of the database, and of one report."""
    pause, beats_at = PAUSE, 0.0
    try:
        while not stop.is_set():
            try:
                if time.monotonic() >= beats_at:
                    Lane.beat(name)
                    beats_at = time.monotonic() + BEAT
                pause = 0 if LANES[name]() else PAUSE
            except Exception as error:
                connection.close()  # It may be broken.
                pause = min(max(1.0, 2 * pause), LONGEST_PAUSE)
                if isinstance(error, DatabaseError | InterfaceError):
                    fault = describe_fault(error)
                    logger.warning("%s: database fault, again in %.0f s: %s", name, pause, fault)
                else:
                    logger.exception("%s: bug, again in %.0f s", name, pause)
            stop.wait(pause)
    finally:
        connection.close()
