"""`make test-ha`: every fault of faults.py, round after round, under the load of ledger.py.

Prints a line of figures for each fault, and each promise that was broken; then the exit code is 1.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.ha.cluster import PACKAGES, Cluster, Instance, front, say, until
from tests.ha.faults import FAULTS, Fault, World
from tests.ha.ledger import NO_ANSWER, Ledger
from tests.support.demo_server import ROOT

# Twice what is promised: the machine may be busy with other things. The table shows the figures.
LONGEST_OUTAGE_SECONDS = 2 * 25
SECONDS_OF_A_FAULT_THAT_IS_NOT_SURVIVED = 12
FULL_RUN, KILLS, KILLS_OF_FULL_RUN = 10, 10, 30  # Rounds; kills a round: 300 in a full run.
# By round, of web1 and web2: in two rounds, each way to the database is gone at least once.
ROUTES = (("hosts", "pgbouncer"), ("haproxy", "hosts"))
TABLE = "{:<21} {:>6} {:>6} {:>5} {:>8} {:>7} {:>6}"
HEAD = TABLE.format("fault", "acked", "calls", "503", "slowest", "outage", "took")
LONGEST_REPORT = 10


def suffer(fault: Fault, world: World) -> float:
    """Cause a fault and end it. Return how long the service was away.

    Raises AssertionError if it does not come back.
    """
    began = time.monotonic()
    course = fault.cause(world)
    next(course)
    try:
        if fault.is_survived:
            world.until_good()
        else:
            time.sleep(SECONDS_OF_A_FAULT_THAT_IS_NOT_SURVIVED)
            began = time.monotonic()
    except AssertionError as error:
        world.ledger.broken.append(str(error))
    next(course, None)
    world.until_good()
    return world.ledger.longest_gap(began)


def run(fault: Fault, world: World) -> None:
    """Cause a fault and end it; print its figures, and the promises that were broken."""
    ledger, began, broken = world.ledger, time.monotonic(), len(world.ledger.broken)
    ledger.statuses, ledger.slowest = Counter(), 0.0
    acknowledged, restarts, kills = ledger.acknowledged(), world.restarts(), len(world.killed)
    outage = 0.0
    try:
        outage = suffer(fault, world)
        ledger.check()
        until("three nodes", world.cluster.is_whole, seconds=90)
    except (AssertionError, OSError) as error:
        ledger.broken.append(str(error))
    if outage > LONGEST_OUTAGE_SECONDS:
        ledger.broken.append(f"no good answer for {outage:.1f} s")
    if not fault.is_of_service:
        world.require("no restart of the service", world.restarts() == restarts)
        world.require("an answer to each request", not ledger.statuses[NO_ANSWER])
    say(
        TABLE.format(
            fault.cause.__name__,
            ledger.acknowledged() - acknowledged,
            sum(ledger.statuses.values()),
            ledger.statuses[503],
            f"{ledger.slowest:.1f} s",
            f"{outage:.1f} s",
            f"{time.monotonic() - began:.0f} s",
        )
    )
    for promise in ledger.broken[broken:][:LONGEST_REPORT]:
        say(f"    BROKEN: {promise}")
    if ledger.broken[broken:] and world.killed[kills:]:
        say(f"    killed: {', '.join(world.killed[kills:])}")


def run_rounds(world: World, faults: list[Fault], rounds: int) -> None:
    for number in range(rounds):
        routes = ROUTES[number % len(ROUTES)]
        for instance, route in zip(world.instances, routes, strict=True):
            instance.move_to(route)
        world.until_good()
        say(f"round {number + 1}, web1 by {routes[0]}, web2 by {routes[1]}\n{HEAD}")
        for fault in faults:
            run(fault, world)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-ha")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kills", type=int, help="in each round; 10, or 30 of ten rounds")
    parser.add_argument("--only", nargs="*", help="names of faults")
    parser.add_argument("--logs", type=Path, help="a folder for the logs of all processes")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if missing := [package for package, found in PACKAGES.items() if not found]:
        say(f"SKIPPED: {', '.join(missing)} not installed (apt).")
        return 0
    subprocess.run(
        [ROOT / "bin" / "install", ".venv-ha", "requirements/ha.txt"],
        env={**os.environ, "PYTHON": "/usr/bin/python3"},  # `nobody` can run it.
        check=True,
    )
    faults = [fault for fault in FAULTS if not options.only or fault.cause.__name__ in options.only]
    began = time.monotonic()
    with Cluster() as cluster:
        say(f"cluster up after {time.monotonic() - began:.0f} s")
        try:
            with (
                Instance(cluster, "web1") as one,
                Instance(cluster, "web2", like=one) as two,
                front(cluster) as nginx,
                Ledger(cluster, nginx, [one, two]) as ledger,
            ):
                kills = KILLS_OF_FULL_RUN if options.rounds >= FULL_RUN else KILLS
                world = World(cluster, [one, two], ledger, kills=options.kills or kills)
                run_rounds(world, faults, options.rounds)
                ledger.check()
        finally:
            for log in cluster.folder.rglob("*.log") if options.logs else ():
                shutil.copy(log, options.logs)
    say(
        f"{len(ledger.created)} creations and {len(ledger.revoked)} revocations acknowledged, "
        f"{ledger.leaked} of them of keys that were reported as exposed, in "
        f"{time.monotonic() - began:.0f} s; promises broken: {len(ledger.broken)}; stale answers "
        f"of a primary that woke up, without HAProxy: {len(ledger.stale)}"
    )
    kinds = Counter(entry.split()[1] for entry in world.killed)
    say(f"{kinds.total()} kills: {', '.join(f'{kinds[kind]} {kind}s' for kind in sorted(kinds))}")
    return int(bool(ledger.broken))


if __name__ == "__main__":
    sys.exit(main())
