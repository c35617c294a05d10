"""`make bench-profile`: where an authenticated request spends its time, in percentages."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.compare import KEYS, SCHEMA
from bench.keys_in_use import KeysInUse
from bench.load import put_load, write_requests
from bench.machine import ROOT, command_line, describe, say
from bench.results import FOLDER, write_profile
from bench.rounds import separate, unite
from bench.seed_ours import seed_ours
from bench.stage import Stage
from bench.tools import require_wrk

SECONDS: Final = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--functions", action="store_true", help="show the busiest functions, too")
    parser.add_argument("--output", type=Path, default=FOLDER, help="a folder for the results")
    options = parser.parse_args()
    tools = {"wrk": require_wrk()}
    with Stage.open() as stage:
        database, keys = stage.database, KeysInUse.make()
        seed_ours(database, schema=SCHEMA, keys=KEYS)
        keys.store(database, schema=SCHEMA, keys=KEYS, pepper=stage.pepper)
        stage.collect_static()
        file = write_requests(stage.folder / "keys", [f"Bearer {one}" for one in keys.spread])
        described = describe(
            command=command_line("bench.profile_ours"), postgres=database.version, tools=tools
        )
        say("Sampling in one process, without a server.")
        sampled = sample(stage, file, options.requests)
        say("Measuring the same under granian.")
        served_ms = cpu_under_granian(stage, file, f"Bearer {keys.spread[0]}")
    write_profile(options.output, described, sampled, served_ms=served_ms)
    if options.functions:
        samples = sum(sampled["groups"].values())
        for name, count in sampled["functions"].items():
            say(f"{count / samples:6.1%} {name}")


def sample(stage: Stage, file: Path, requests: int) -> dict[str, Any]:
    """Run bench.profiled in production's environment; its log lines go where a server's go."""
    with (stage.folder / "profiled.log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "bench.profiled", str(file), str(requests)],
            cwd=ROOT,
            env=stage.ours(SCHEMA).environ,
            stdout=subprocess.PIPE,
            stderr=log,
            check=True,
        )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def cpu_under_granian(stage: Stage, file: Path, authorization: str) -> float:
    """Return the processor time of a request in ms, where granian serves it."""
    application = stage.ours(SCHEMA)
    others = stage.database.processes()
    with stage.serving({"ours": (application, authorization)}, workers=1) as servers:
        separate(servers.values(), others)
        for seconds in (1, SECONDS):  # The first one warms up.
            run = put_load(
                servers["ours"].url,
                file,
                server=servers["ours"].process.pid,
                connections=16,
                seconds=seconds,
            )
        unite(others)
    return run.cpu_ms


if __name__ == "__main__":
    main()
