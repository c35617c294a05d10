"""The runner: `python -m bench results` or `profile`."""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import report
from bench.load import measure
from bench.machine import LOCAL, describe, require_tools, say
from bench.stage import Stage
from bench.table import COMPARISON, OURS, Table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("results", "profile"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of a run")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="of the page")
    options = parser.parse_args()
    require_tools()
    # Go through every `finally` on the way out, as for Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    began = time.monotonic()
    with Stage.open() as stage:
        measuring = profile if options.command == "profile" else compare
        sections, raw = measuring(stage, options)
        origin = describe(stage.database.version)
    page = options.output / f"{options.command.upper()}.md"
    page.write_text("\n\n".join([f"# {options.command.capitalize()}", origin, *sections]) + "\n")
    runs = json.dumps({"origin": origin, **raw}, indent=1, default=asdict)
    (LOCAL / f"{options.command}.json").write_text(runs)
    say(f"{page} after {(time.monotonic() - began) / 60:.1f} minutes; single runs: {LOCAL}.")


def compare(stage: Stage, options: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """Compare ours with the peers and the floor."""
    stage.prepare([row for table in COMPARISON for row in table.rows])
    how = {"rounds": options.rounds, "seconds": options.seconds}
    measured = {table.title: measure(stage, table, **how) for table in COMPARISON}
    return report.compared(COMPARISON, measured), measured


def profile(stage: Stage, options: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """Show where an authenticated request spends its time, in percentages."""
    served = Table("Served", (OURS,))
    stage.prepare(served.rows)
    say("Sampling in one process, without a server.")
    command = ("-m", "bench.profiled", str(stage.files[OURS.keys]), str(options.seconds * 5_000))
    sampled = json.loads(stage.run(*command, schema=OURS.data))
    rounds = measure(stage, served, rounds=1, seconds=options.seconds * 2)
    served_ms = rounds[0][OURS.name].cpu_ms
    return report.profile(sampled, served_ms=served_ms), {**sampled, "served_ms": served_ms}


if __name__ == "__main__":
    main()
