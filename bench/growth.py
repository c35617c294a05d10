"""`make bench-growth`: does it stay as fast with more of everything, and how fast are writes?"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.database import Connection
from bench.goals import MORE_KEYS
from bench.keys_in_use import KeysInUse, settle
from bench.load import Run, put_load, write_requests
from bench.machine import command_line, describe, say
from bench.ratios import Rounds, ratio
from bench.results import FOLDER, write_growth
from bench.rounds import Contender, separate, take_turns, unite
from bench.seed_ours import HOT, SPREAD, schema_of, seed_ours
from bench.seed_peers import SCHEMA as PEERS
from bench.seed_peers import hash_slowly, renew_peer_keys, seed_peers
from bench.seed_year import seed_year
from bench.servers import Server
from bench.stage import Stage
from bench.tools import require_wrk
from bench.variants import BY_THE_BOOK
from bench.writes import Writes

FEW: Final = "10,000 keys"
MANY: Final = "1,000,000 keys"
YEAR: Final = "10,000 keys, a year of use behind them"
HOT_ROW: Final = "10,000 keys, one organization has half of all requests"
SCHEMAS: Final = {
    FEW: (schema_of(10_000), 10_000),
    MANY: (schema_of(1_000_000), 1_000_000),
    YEAR: ("bench_year", 10_000),
}
ARGON2: Final = "by-the-book DRF with an argon2 hash"
COMPARED_KEYS: Final = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--output", type=Path, default=FOLDER, help="a folder for the results")
    options = parser.parse_args()
    began = time.monotonic()
    tools = {"wrk": require_wrk()}
    with Stage.open() as stage:
        described = describe(
            command=command_line("bench.growth"), postgres=stage.database.version, tools=tools
        )
        stage.collect_static()
        growth = Growth(stage, rounds=options.rounds, seconds=options.seconds)
        found: dict[str, Any] = {
            "data": growth.data(),
            "workers": growth.workers(),
            "argon2": growth.argon2(),
        }
        writes = Writes(stage, growth.keys)
        found["verbs"] = writes.verbs(seconds=options.seconds * 2)
        found["consume"] = writes.consume(seconds=options.seconds * 2)
    goal = MORE_KEYS.judge(ratio(found["data"], MANY, FEW))
    write_growth(options.output, described, found, goal=goal, base=FEW)
    say(f"Results in {options.output}, after {(time.monotonic() - began) / 60:.1f} minutes.")


class Growth:
    """Ours on more and more."""

    def __init__(self, stage: Stage, *, rounds: int, seconds: int) -> None:
        self.stage, self.rounds, self.seconds = stage, rounds, seconds
        self.keys = KeysInUse.make()
        for name, (schema, keys) in SCHEMAS.items():
            seed = seed_year if name == YEAR else seed_ours
            seed(stage.database, schema=schema, keys=keys)
            self.keys.store(stage.database, schema=schema, keys=keys, pepper=stage.pepper)
        spread = [f"Bearer {one}" for one in self.keys.spread]
        hot = [f"Bearer {one}" for one in self.keys.hot]
        self.spread = write_requests(stage.folder / "spread", spread)
        self.half_hot = write_requests(stage.folder / "half-hot", spread + hot)
        self.first = spread[0]

    def data(self) -> Rounds:
        """Measure more keys, a year of use, a hot row: pinned, 16 connections."""
        applications = {
            name: (self.stage.ours(schema), self.first) for name, (schema, _) in SCHEMAS.items()
        }
        others = self.stage.database.processes()
        with self.stage.serving(applications, workers=1) as servers:
            separate(servers.values(), others)
            contenders = [
                self._contender(name, server, SCHEMAS[name][0]) for name, server in servers.items()
            ]
            contenders.append(self._contender(HOT_ROW, servers[FEW], SCHEMAS[FEW][0], is_hot=True))
            rounds = self._turns(contenders)
            unite(others)
        return rounds

    def workers(self) -> Rounds:
        """Measure 1 to 8 worker processes, unpinned."""
        schema = SCHEMAS[FEW][0]
        rounds: list[dict[str, Run]] = [{} for _ in range(self.rounds)]
        for workers in (1, 2, 4, 8):
            name = f"{workers} worker{'s' * (workers > 1)}"
            served = {name: (self.stage.ours(schema), self.first)}
            with self.stage.serving(served, workers=workers) as servers:
                one = self._contender(name, servers[name], schema)
                for number, done in enumerate(self._turns([one])):
                    rounds[number] |= done
        return rounds

    def argon2(self) -> dict[str, Run]:
        """Measure a slow hash on the path of a request, next to the same without."""
        schema = schema_of(COMPARED_KEYS)
        database, keys = self.stage.database, KeysInUse.make()
        seed_ours(database, schema=schema, keys=COMPARED_KEYS)
        keys.store(database, schema=schema, keys=COMPARED_KEYS, pepper=self.stage.pepper)
        seed_peers(database, ours=schema)
        renew_peer_keys(database, keys, ours=schema)
        slow = hash_slowly(database, keys, ours=schema)
        file = write_requests(self.stage.folder / "slow", slow)
        peers = {BY_THE_BOOK: "by_the_book", ARGON2: "argon2"}
        applications = {
            name: (self.stage.peer(peer, PEERS, redis=None), slow[0])
            for name, peer in peers.items()
        }
        with self.stage.serving(applications, workers=1) as servers:
            return {
                name: put_load(
                    server.url,
                    file,
                    server=server.process.pid,
                    connections=4,
                    seconds=self.seconds * 2,
                )
                for name, server in servers.items()
            }

    def _contender(
        self, name: str, server: Server, schema: str, *, is_hot: bool = False
    ) -> Contender:
        file = self.half_hot if is_hot else self.spread
        used = SPREAD + HOT if is_hot else SPREAD
        return Contender(name, server, file, before=partial(self._settle, schema, used))

    def _settle(self, schema: str, used: int) -> None:
        connection: Connection
        with self.stage.database.connect(schema) as connection:
            settle(connection, used=used)

    def _turns(self, contenders: list[Contender]) -> Rounds:
        take_turns(contenders, connections=16, seconds=1, rounds=1)
        return take_turns(contenders, connections=16, seconds=self.seconds, rounds=self.rounds)


if __name__ == "__main__":
    main()
