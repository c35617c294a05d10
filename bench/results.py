"""Writes what was measured: a page for people, and JSON for programs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.goals import GOALS
from bench.load import Run
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


GROWTH: Final = """\
As in RESULTS.md, ours alone, on more and more of everything; 16 connections. Of data: pinned, one
worker on one core. Of workers: unpinned, on as many cores as the machine has, so that more workers
than cores can only show that they do no harm. Writes: a worker a core; each makes an audit event
and waits for the disk. `consume` is called by four processes, each call a transaction that waits
for the disk, too."""


def write_growth(
    folder: Path,
    described: dict[str, Any],
    found: dict[str, Any],
    *,
    goal: dict[str, Any],
    base: str,
) -> None:
    """Write GROWTH.md and growth.json."""
    data, workers = found["data"], found["workers"]
    headings = ("", "a second", "p50 ms", "p99 ms")
    slow = [_row(name, run) for name, run in found["argon2"].items()]
    verbs = [_row(name, run) for name, run in found["verbs"].items()]
    consumed = [(name, f"{rate:,.0f}", "", "") for name, rate in found["consume"].items()]
    sections = [
        f"## The goal\n\n{goals_table([goal])}",
        f"## More data\n\n{speed_table(data, data[0], base=base)}",
        f"## More workers\n\n{speed_table(workers, workers[0], base='1 worker')}",
        f"## Writes\n\n{table(headings, [*verbs, *consumed])}",
        f"## A slow hash on the path of a request, 4 connections\n\n{table(headings, slow)}",
    ]
    write(folder, "GROWTH.md", "Growth and writes", described, [GROWTH, *sections])
    runs = {name: asdict(run) for part in ("argon2", "verbs") for name, run in found[part].items()}
    measured = plain({"data": data, "workers": workers})
    results = {**described, "goal": goal, "measured": measured, "once": runs}
    write_json(folder / "growth.json", {**results, "consume": found["consume"]})


PROFILE: Final = """\
Where one worker's processor time goes in `GET /v1/auth/me`, everything on. Sampled each millisecond
of processor time in one process that calls the WSGI application as granian does; what granian adds
is the difference to the same request served. Waiting for PostgreSQL takes no processor time and
stands apart."""


def write_profile(
    folder: Path, described: dict[str, Any], sampled: dict[str, Any], *, served_ms: float
) -> None:
    """Write PROFILE.md."""
    cpu_ms, clock_ms, groups = sampled["cpu_ms"], sampled["clock_ms"], sampled["groups"]
    samples = sum(groups.values())
    parts = {name: count / samples * cpu_ms for name, count in groups.items()}
    parts["granian: HTTP, WSGI, threads"] = max(0.0, served_ms - cpu_ms)
    total = sum(parts.values())
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    rows = [(name, f"{ms / total:.0%}", f"{ms:.3f}") for name, ms in ordered]
    rows += [("all of it", "100%", f"{total:.3f}")]
    told = (
        f"One request after the other, without a server, takes {clock_ms:.2f} ms, of which "
        f"{clock_ms - cpu_ms:.2f} ms are waiting: for PostgreSQL, and for the processor where "
        "something else runs."
    )
    headings = ("", "of the processor time", "ms")
    write(folder, "PROFILE.md", "A profile", described, [PROFILE, table(headings, rows), told])


def _row(name: str, run: Run) -> tuple[str, str, str, str]:
    return name, f"{run.requests_a_second:,.0f}", f"{run.p50_ms:.1f}", f"{run.p99_ms:.1f}"


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
