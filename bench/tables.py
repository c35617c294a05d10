"""Results as Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from bench.load import Run
from bench.ratios import Rounds, Spread, ratio, speed


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def times(spread: Spread | dict[str, float]) -> str:
    """Show a ratio with its range."""
    found = spread.as_dict() if isinstance(spread, Spread) else spread
    return f"{found['median']:.2f} × ({found['low']:.2f}–{found['high']:.2f})"


def a_second(spread: Spread) -> str:
    return f"{spread.median:,.0f} ({spread.low:,.0f}–{spread.high:,.0f})"


def goals_table(judged: Iterable[dict[str, Any]]) -> str:
    headings = ("", "against", "at least", "aim", "measured (range)", "met")
    return table(
        headings,
        (
            (
                one["ours"],
                one["against"],
                f"{one['at_least']:g} ×",
                f"{one['aim']:g} ×",
                times(one["measured"]),
                one["met"],
            )
            for one in judged
        ),
    )


def speed_table(rounds: Rounds, names: Iterable[str], *, base: str) -> str:
    """Show each variant's figures, and `base` as a multiple of it."""
    headings = ("", "requests/s (range)", f"{base} is", "CPU ms", "p50 ms", "p99 ms", "refused")
    rows = []
    for name in names:
        runs = [one[name] for one in rounds]
        rows.append(
            (
                name,
                a_second(speed(rounds, name)),
                "" if name == base else times(ratio(rounds, base, name)),
                *(f"{median(figures):.2f}" for figures in _figures(runs)),
                "all" if runs[0].refused else "none",
            )
        )
    return table(headings, rows)


def _figures(runs: Sequence[Run]) -> Iterable[list[float]]:
    yield [run.cpu_ms for run in runs]
    yield [run.p50_ms for run in runs]
    yield [run.p99_ms for run in runs]


def origin(described: dict[str, Any]) -> str:
    """Say where and with what the figures were measured."""
    machine, versions = described["machine"], described["versions"]
    return "\n".join(
        [
            f"`{described['command']}`, {described['date']}, commit {described['commit']}.",
            "",
            (
                f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
                f"Linux {machine['kernel']}."
            ),
            "",
            ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        ]
    )
