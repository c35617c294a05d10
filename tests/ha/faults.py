"""What can fail, as generators: they cause it, yield while it lasts, and end it afterwards."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import psutil

from tests.ha.cluster import Cluster, Instance, Node, say, until
from tests.ha.ledger import LONGEST_STALE_SECONDS, Ledger

TTL_SECONDS = 20
VICTIMS = ("worker", "worker", "worker", "backend", "backend", "backend", "parent", "parent")
POSTMASTER_EVERY = 10


@dataclass
class World:
    cluster: Cluster
    instances: list[Instance]
    ledger: Ledger
    kills: int  # In each round, of processes_killed.
    killed: list[str] = field(default_factory=list)

    def restarts(self) -> int:
        return sum(instance.restarts for instance in self.instances)

    def require(self, promise: str, kept: object) -> None:
        if not kept:
            self.ledger.broken.append(f"not kept: {promise}")

    def until_good(self) -> None:
        """Wait until every instance has read and written since now."""
        now = time.monotonic()
        until("good answers", lambda: self.ledger.is_good_since(now), seconds=40)


def primary_killed(world: World) -> Iterator[None]:
    """kill -9 of Patroni and postmaster of the primary: a standby takes over."""
    old = world.cluster.primary()
    old.kill()
    yield
    world.require("another node took over", world.cluster.primary() is not old)
    old.patroni.start()


def standby_stopped(world: World) -> Iterator[None]:
    """One standby is shut down: the other one confirms."""
    standby = random.choice(world.cluster.standbys())
    standby.patroni.end()
    yield
    standby.patroni.start()


def both_standbys_killed(world: World) -> Iterator[None]:
    """No standby is left: the primary goes on alone."""
    standbys = world.cluster.standbys()
    for standby in standbys:
        standby.kill()
    yield
    for standby in standbys:
        standby.patroni.start()


def machine_frozen(world: World) -> Iterator[None]:
    """SIGSTOP of all processes of the primary's machine; it wakes up after the fail-over."""
    old = world.cluster.primary()
    frozen = freeze(old)
    yield
    world.ledger.woken = woke = time.monotonic()
    for process in frozen:
        with suppress(psutil.Error):
            process.resume()
    new = until("a primary", world.cluster.primary)
    world.require("another node took over", new is not old)
    stale = 0.0
    while (awake := time.monotonic() - woke) <= LONGEST_STALE_SECONDS + 1:
        if old.may_write():
            stale = awake
        with suppress(OSError):
            world.require("one primary", world.cluster.primary() is new)
        time.sleep(0.05)
    say(f"    old primary, once awake, was a primary to itself for {stale:.1f} s")
    world.require("old primary steps down in 5 s", stale < LONGEST_STALE_SECONDS)


def freeze(node: Node) -> list[psutil.Process]:
    """Stop all processes of the node, also those that are started meanwhile."""
    frozen: list[psutil.Process] = []
    for _ in range(3):
        for process in node.tree():
            if process not in frozen:
                process.suspend()
                frozen.append(process)
    return frozen


def postmaster_frozen(world: World) -> Iterator[None]:
    """SIGSTOP of the primary's postmaster alone: old connections go on, new ones hang."""
    old = world.cluster.primary()
    postmaster = old.postmaster()
    # Half of the connections break: their next requests need new ones, and get 503.
    with world.cluster.connect() as connection:
        postmaster.suspend()
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'reachscore_app' AND pid % 2 = 0"
        )
    yield
    world.require("Patroni does not fail over", world.cluster.primary() is old)
    random.choice((postmaster.resume, postmaster.kill))()  # By itself, or as docs/ha.md says.


def etcd_gone(world: World) -> Iterator[None]:
    """kill -9 of all of etcd, for longer than Patroni's lease: the primary stays."""
    old = world.cluster.primary()
    for etcd in world.cluster.etcd.values():
        etcd.end(signal.SIGKILL)
    time.sleep(TTL_SECONDS + 5)
    yield
    world.require("the primary stays", old.may_write())
    for etcd in world.cluster.etcd.values():
        etcd.start()


def switched_over(world: World) -> Iterator[None]:
    """A planned switch-over. Rate windows begin anew on the promoted node, within one minute."""
    old, new = world.cluster.primary(), random.choice(world.cluster.standbys())
    small = world.ledger.customer("Small", "free")
    while time.time() % 60 > 40:
        time.sleep(1)

    def window() -> tuple[int, str]:
        answer = world.ledger.ask("GET", "/v1/auth/me", small)
        return answer.status, answer.headers.get("RateLimit-Reset", "")

    used = [window() for _ in range(21)]
    world.cluster.patronictl(
        "switchover", "reachscore", "--leader", old.name, "--candidate", new.name, "--force"
    )
    fresh = until("an answer", lambda: (found := window())[0] != 503 and found, seconds=25)
    if used[-1] == (429, fresh[1]):  # Else the minute was over.
        say("    rate window of this minute: full before, empty on the promoted node")
        world.require("a promoted node has empty rate windows", fresh[0] == 200)
    yield
    world.require("the chosen node took over", world.cluster.primary() is new)


def web_restarted(world: World) -> Iterator[None]:
    """Both web machines, one after the other: nobody notices."""
    before = world.ledger.statuses[503]
    for instance in world.instances:
        time.sleep(2)  # nginx has not tried this one's neighbour for up to 2 s after a failure.
        instance.restart()
    yield
    refused = world.ledger.statuses[503] - before
    world.require(f"no request is lost in a restart, {refused} were", refused == 0)


def processes_killed(world: World) -> Iterator[None]:
    """kill -9 of workers, parents, backends and postmasters, one after the other."""
    for number in range(1, world.kills + 1):
        what = "postmaster" if number % POSTMASTER_EVERY == 0 else random.choice(VICTIMS)
        until(f"a {what}", partial(kill, world, what))
        time.sleep(random.uniform(0.2, 1))
        world.until_good()
    yield


def kill(world: World, what: str) -> bool:
    """kill -9 of one process of this kind. Raise an error if it ended by itself meanwhile."""
    process = victim(world, what)
    process.kill()
    world.killed.append(f"{datetime.now(UTC):%T} {what} {process.pid}")
    return True


def victim(world: World, what: str) -> psutil.Process:
    """Return a running process of this kind."""
    if what == "postmaster":
        return world.cluster.primary().postmaster()
    if what == "backend":
        with world.cluster.connect() as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename = 'reachscore_app'"
            ).fetchall()
        return psutil.Process(random.choice(found)[0])
    parent = psutil.Process(random.choice(world.instances).process.pid)
    if what == "parent":
        return parent
    return random.choice(parent.children() or [parent])


@dataclass(frozen=True)
class Fault:
    cause: Callable[[World], Iterator[None]]
    # The service is back while the fault lasts; else only after its end.
    is_survived: bool = True
    # Processes of the service die too, and are started again.
    is_of_service: bool = False


FAULTS = (
    Fault(primary_killed),
    Fault(standby_stopped),
    Fault(machine_frozen),
    Fault(postmaster_frozen, is_survived=False),
    Fault(etcd_gone),
    Fault(both_standbys_killed),
    Fault(switched_over),
    Fault(web_restarted, is_of_service=True),
    Fault(processes_killed, is_of_service=True),
)
