"""`make test-ha`: every fault of faults.py, round after round, under the load of ledger.py.

Each promise that is broken is printed; then the exit code is 1.
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

from tests.ha.cluster import PACKAGES, Cluster, Instance, front, until
from tests.ha.faults import FAULTS, Fault, World
from tests.ha.ledger import Ledger
from tests.support.demo_server import ROOT

LONGEST_OUTAGE_SECONDS = 25
SECONDS_OF_A_FAULT_THAT_IS_NOT_SURVIVED = 15
# By round: both instances use each route to the database at least once in two rounds.
ROUTES = (("hosts", "pgbouncer"), ("haproxy", "hosts"))
TABLE = "{:<22} {:>6} {:>6} {:>6} {:>9} {:>8} {:>6}"


def run(fault: Fault, world: World) -> None:
    """Cause a fault and end it; print a line of figures, and the promises that were broken."""
    ledger, name = world.ledger, fault.cause.__name__
    broken = len(ledger.broken)
    ledger.statuses, ledger.slowest = Counter(), 0.0
    acknowledged, restarts = ledger.acknowledged(), sum(i.restarts for i in world.instances)
    started = began = time.monotonic()
    course = fault.cause(world)
    try:
        next(course)
        try:
            if fault.is_survived:
                world.until_good()
            else:
                time.sleep(SECONDS_OF_A_FAULT_THAT_IS_NOT_SURVIVED)
                began = time.monotonic()
        finally:
            next(course, None)
        world.until_good()
        outage = ledger.longest_gap(began)
        until("three nodes", world.cluster.is_whole, seconds=90)
        ledger.check()
    except AssertionError as error:
        ledger.broken.append(str(error))
        outage = ledger.longest_gap(began)
    if outage > LONGEST_OUTAGE_SECONDS:
        ledger.broken.append(f"no good answer for {outage:.1f} s")
    if not fault.is_of_service and restarts != sum(i.restarts for i in world.instances):
        ledger.broken.append("the service was restarted")
    figures = (ledger.acknowledged() - acknowledged, sum(ledger.statuses.values()))
    print(
        TABLE.format(
            *(name, *figures, ledger.statuses[503], f"{ledger.slowest:.1f} s"),
            *(f"{outage:.1f} s", f"{time.monotonic() - started:.0f} s"),
        ),
        flush=True,
    )
    if ledger.broken[broken:] and world.killed:
        print(f"    killed: {', '.join(world.killed)}")
    world.killed.clear()
    for promise in ledger.broken[broken : broken + 10]:
        print(f"    BROKEN: {promise}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-ha")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of faults")
    parser.add_argument("--logs", type=Path, help="a folder for the logs of all processes")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if missing := [package for package, found in PACKAGES.items() if not found]:
        print(f"SKIPPED: {', '.join(missing)} of apt not installed.")
        return 0
    subprocess.run(
        [ROOT / "bin" / "install", ".venv-ha", "requirements/ha.txt"],
        env={**os.environ, "PYTHON": "/usr/bin/python3"},  # `nobody` can run it.
        check=True,
    )
    faults = [fault for fault in FAULTS if not options.only or fault.cause.__name__ in options.only]
    began = time.monotonic()
    with Cluster() as cluster:
        print(f"cluster up after {time.monotonic() - began:.0f} s", flush=True)
        with Instance(cluster, "web1") as one, Instance(cluster, "web2", like=one) as two:
            instances = [one, two]
            proxy = front(cluster)
            try:
                with Ledger(cluster, proxy, instances) as ledger:
                    world = World(cluster, instances, ledger)
                    for number in range(options.rounds):
                        routes = ROUTES[number % len(ROUTES)]
                        for instance, route in zip(instances, routes, strict=True):
                            instance.move_to(route)
                        print(f"round {number + 1}, web1 by {routes[0]}, web2 by {routes[1]}", flush=True)
                        head = ("fault", "acked", "calls", "503", "slowest", "outage", "took")
                        print(TABLE.format(*head), flush=True)
                        for fault in faults:
                            run(fault, world)
            finally:
                proxy.stop()
                if options.logs:
                    for log in cluster.folder.rglob("*.log"):
                        shutil.copy(log, options.logs)
        print(f"{ledger.acknowledged()} acknowledged writes in {time.monotonic() - began:.0f} s")
    return int(bool(ledger.broken))


if __name__ == "__main__":
    sys.exit(main())
