"""Writes what was measured: a page for people, and JSON for programs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.goals import GOALS
from bench.ratios import Rounds, ratio
from bench.tables import goals_table, origin, speed_table, table
from bench.variants import OURS, VARIANTS

FOLDER: Final = Path(__file__).parent

READING: Final = """\
Every variant answers `GET /v1/auth/me` with the same body, from the same 100,000 keys of 1,000
organizations in one PostgreSQL (fsync on), under granian with production's options. Each request
carries one of 2,000 keys, picked at random, over a kept connection. Pinned: one worker on one core;
PostgreSQL, Redis and wrk on the next one. Variants take turns in shuffled rounds; a ratio is taken
inside a round. Shown are medians of the rounds, with the lowest and the highest in brackets. CPU is
what the server's own processes used, PostgreSQL apart. `bench/peers/` holds the code of the others,
docs/performance.md says what this means."""


def write_comparison(
    folder: Path, described: dict[str, Any], measured: Mapping[str, Rounds], *, goals_from: str
) -> None:
    """Write RESULTS.md and results.json."""
    rounds = measured[goals_from]
    goals = [
        goal.judge(ratio(rounds, goal.ours, goal.other))
        for goal in GOALS
        if goal.other in rounds[0]
    ]
    sections = [f"## The goals\n\nMeasured {goals_from}.\n\n{goals_table(goals)}"]
    for name, of in measured.items():
        names = [one.name for one in VARIANTS if one.name in of[0]]
        sections.append(f"## {name.capitalize()}\n\n{speed_table(of, names, base=OURS)}")
    rows = [(one.name, one.does) for one in VARIANTS if one.name in rounds[0]]
    sections.append(f"## What each does\n\n{table(('', 'does'), rows)}")
    write(folder, "RESULTS.md", "Results", described, [READING, *sections])
    write_json(folder / "results.json", {**described, "goals": goals, "measured": plain(measured)})


def write(
    folder: Path, name: str, title: str, described: dict[str, Any], sections: list[str]
) -> None:
    page = [f"# {title}", origin(described), *sections]
    (folder / name).write_text("\n\n".join(page) + "\n")


def write_json(file: Path, results: dict[str, Any]) -> None:
    file.write_text(json.dumps(results, indent=1) + "\n")


def plain(measured: Mapping[str, Rounds]) -> dict[str, Any]:
    """Return every run as JSON has it."""
    return {
        name: [{variant: asdict(run) for variant, run in one.items()} for one in rounds]
        for name, rounds in measured.items()
    }
