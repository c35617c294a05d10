"""What was measured as pages: medians with their range, ratios that are taken inside a round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from bench.load import Rounds, Run
from bench.table import AIMS, Table

MEDIANS: Final = """\
Medians of the rounds, with the lowest and the highest in brackets; ratios are taken inside a round.
docs/performance.md says how it is measured and what it means."""


def compared(tables: Sequence[Table], measured: Mapping[str, Rounds]) -> list[str]:
    """Return the sections of a comparison: the aims, by the first table, and every table."""
    first = tables[0].title
    sections = [speeds(one, measured[one.title]) for one in tables]
    return [MEDIANS, aims(first, measured[first]), *sections]


def writes(verbs: Mapping[str, Run], consumed: Mapping[str, float]) -> str:
    """Return the section of what was written."""
    rows = [(name, f"{rate:,.0f}", "", "") for name, rate in consumed.items()]
    for name, run in verbs.items():
        rows.append((name, f"{run.rate:,.0f}", f"{run.p50_ms:.1f}", f"{run.p99_ms:.1f}"))
    return f"## Writes\n\n{table(('', 'a second', 'p50 ms', 'p99 ms'), rows)}"


def profile(sampled: Mapping[str, Any], *, served_ms: float) -> list[str]:
    """Return the sections of a profile; what granian adds is the difference to being served."""
    cpu_ms, clock_ms, groups = sampled["cpu_ms"], sampled["clock_ms"], sampled["groups"]
    samples = sum(groups.values())
    parts = {name: count / samples * cpu_ms for name, count in groups.items()}
    parts["granian: HTTP, WSGI, threads"] = max(0.0, served_ms - cpu_ms)
    total = sum(parts.values())
    parts = dict(sorted(parts.items(), key=lambda part: -part[1])) | {"all of it": total}
    rows = [(name, f"{ms / total:.0%}", f"{ms:.3f}") for name, ms in parts.items()]
    told = (
        f"One request after the other, without a server, takes {clock_ms:.2f} ms, of which "
        f"{clock_ms - cpu_ms:.2f} ms are waiting: for PostgreSQL, and for a busy processor."
    )
    return [table(("", "of the processor time", "ms"), rows), told]


def aims(title: str, rounds: Rounds) -> str:
    """Return the section that says which aims are met, by the median."""
    rows = []
    for fast, slow, at_least, aim in AIMS:
        if slow in rounds[0]:
            ratios = ratio(rounds, fast, slow)
            met = ("no", "yes", "aim")[(median(ratios) >= at_least) + (median(ratios) >= aim)]
            rows.append((fast, slow, f"{at_least:g} ×", f"{aim:g} ×", times(ratios), met))
    headings = ("", "against", "at least", "aim", "measured (range)", "met")
    return f"## The goals\n\n{title}.\n\n{table(headings, rows)}"


def speeds(of_table: Table, rounds: Rounds) -> str:
    """Return the section of a table: each row's figures, and the first row as a multiple of it."""
    base = of_table.rows[0].name
    rows = []
    for name in (row.name for row in of_table.rows):
        runs = [asdict(one[name]) for one in rounds]
        rates = [run["rate"] for run in runs]
        rate = f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"
        than = "" if name == base else times(ratio(rounds, base, name))
        middle = [
            f"{median(run[of] for run in runs):.2f}"
            for of in ("cpu_ms", "database_ms", "p50_ms", "p99_ms")
        ]
        rows.append((name, rate, than, *middle, "all" if runs[0]["refused"] else "none"))
    headings = (
        "",
        "requests/s (range)",
        f"{base} is",
        "CPU ms",
        "PostgreSQL ms",
        "p50 ms",
        "p99 ms",
        "refused",
    )
    return f"## {of_table.title}\n\n{table(headings, rows)}"


def ratio(rounds: Rounds, fast: str, slow: str) -> list[float]:
    """Return how many times as fast one is, a round; what slows a round, slows both."""
    return [one[fast].rate / one[slow].rate for one in rounds]


def times(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} × ({min(ratios):.2f}–{max(ratios):.2f})"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
