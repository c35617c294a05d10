"""`make bench`: ours against the peers and against the floor, in one table."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.keys_in_use import KeysInUse, malformed, settle, unknown
from bench.load import first_authorization, write_requests
from bench.machine import command_line, describe, say
from bench.ratios import Rounds
from bench.redis_server import RedisServer, redis_server
from bench.results import FOLDER, write_comparison
from bench.rounds import Contender, separate, take_turns, unite
from bench.same_answer import check_answers
from bench.seed_ours import schema_of, seed_ours
from bench.seed_peers import SCHEMA as PEERS
from bench.seed_peers import renew_peer_keys, seed_peers
from bench.servers import Application
from bench.stage import Stage, workers_a_core
from bench.tools import redis_version, require_wrk
from bench.variants import VARIANTS, Variant

KEYS: Final = 100_000
SCHEMA: Final = schema_of(KEYS)
PINNED_4: Final = "pinned, 4 connections"
PINNED_16: Final = "pinned, 16 connections"
UNPINNED_16: Final = "a worker a core, unpinned, 16 connections"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of a run with 16 connections")
    parser.add_argument("--output", type=Path, default=FOLDER, help="a folder for the results")
    options = parser.parse_args()
    began = time.monotonic()
    tools = {"wrk": require_wrk()}
    if redis := redis_version():
        tools["Redis"] = redis
    else:
        say("Redis is missing: the peers with limits are left out.")
    with Stage.open() as stage, redis_server(wanted=bool(redis)) as beside:
        described = describe(
            command=command_line("bench.compare"), postgres=stage.database.version, tools=tools
        )
        comparison = Comparison(stage, beside)
        comparison.prepare()
        measured = comparison.measure(rounds=options.rounds, seconds=options.seconds)
    write_comparison(options.output, described, measured, goals_from=PINNED_16)
    say(f"Results in {options.output}, after {(time.monotonic() - began) / 60:.1f} minutes.")


class Comparison:
    """Everybody on the same data, measured in turns."""

    def __init__(self, stage: Stage, redis: RedisServer | None) -> None:
        self.stage, self.redis = stage, redis
        self.variants = [one for one in VARIANTS if redis or not one.needs_redis]
        self.files: dict[str, Path] = {}

    def prepare(self) -> None:
        """Seed what is missing, and give the keys in use new secrets."""
        database, keys = self.stage.database, KeysInUse.make()
        seed_ours(database, schema=SCHEMA, keys=KEYS)
        keys.store(database, schema=SCHEMA, keys=KEYS, pepper=self.stage.pepper)
        seed_peers(database, ours=SCHEMA)
        peers = renew_peer_keys(database, keys, ours=SCHEMA)
        sent = {
            **vars(peers),
            "unknown": [f"Bearer {one}" for one in unknown(keys.spread)],
            "malformed": [f"Bearer {one}" for one in malformed(keys.spread)],
        }
        for name, authorizations in sent.items():
            self.files[name] = write_requests(self.stage.folder / name, authorizations)
        self.stage.collect_static()

    def measure(self, *, rounds: int, seconds: int) -> dict[str, Rounds]:
        """Measure pinned, everybody; then unpinned, with a worker a core, the main ones."""
        others = self._others()
        measured: dict[str, Rounds] = {}
        with self._contenders(self.variants, workers=1) as contenders:
            check_answers(contenders)
            separate({one.server for one in contenders}, others)
            say(f"Warming up {len(contenders)} variants.")
            take_turns(contenders, connections=16, seconds=1, rounds=1)
            # The goals are those of 16 connections; a run with 4 says the same in less time.
            for name, connections, lasts in ((PINNED_16, 16, seconds), (PINNED_4, 4, 1)):
                say(f"Measuring {name}.")
                measured[name] = take_turns(
                    contenders, connections=connections, seconds=lasts, rounds=rounds
                )
            unite(others)
        main = [one for one in self.variants if one.is_main]
        with self._contenders(main, workers=workers_a_core()) as contenders:
            say(f"Measuring {UNPINNED_16}.")
            take_turns(contenders, connections=16, seconds=1, rounds=1)
            measured[UNPINNED_16] = take_turns(
                contenders, connections=16, seconds=seconds, rounds=rounds
            )
        return measured

    @contextmanager
    def _contenders(self, variants: list[Variant], *, workers: int) -> Iterator[list[Contender]]:
        """Start a server for each application; unknown and malformed keys go to ours, too."""
        wanted = {one.peer: one for one in variants if not one.is_refused}
        applications = {
            peer: (self._application(peer), first_authorization(self.files[one.keys]))
            for peer, one in wanted.items()
        }
        with (
            self.stage.serving(applications, workers=workers) as servers,
            self.stage.database.connect(SCHEMA) as connection,
        ):
            yield [
                Contender(
                    one.name,
                    servers[one.peer],
                    self.files[one.keys],
                    is_refused=one.is_refused,
                    before=partial(settle, connection) if one.is_counted else None,
                )
                for one in variants
            ]

    def _application(self, peer: str) -> Application:
        if not peer:
            return self.stage.ours(SCHEMA)
        return self.stage.peer(peer, PEERS, redis=self.redis.address if self.redis else None)

    def _others(self) -> list[int]:
        """Return the processes beside the servers: PostgreSQL where it is ours, and Redis."""
        redis = [self.redis.process.pid] if self.redis else []
        return [*self.stage.database.processes(), *redis]


if __name__ == "__main__":
    main()
