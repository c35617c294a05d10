"""Ours next to itself: with more keys and more workers; and how fast it writes."""

import argparse
from typing import Final

from bench import report
from bench.load import measure as measure_table
from bench.stage import Stage
from bench.table import GROWTH
from bench.writes import ROW, measure_consume, measure_verbs

SECONDS: Final = 2
TOLD: Final = """\
As in RESULTS.md, ours alone; 16 connections. Of data: pinned, one worker on one core. Of workers:
unpinned, on as many cores as the machine has. Writes: a worker a core; each makes an audit
event and waits for the disk. `consume` is called by four processes, and waits for the disk, too."""


def measure(options: argparse.Namespace) -> str:
    """Return the sections."""
    with Stage.open() as stage:
        stage.prepare([row for table in GROWTH for row in table.rows] + [ROW])
        how = {"rounds": options.rounds, "seconds": SECONDS}
        measured = {table.title: measure_table(stage, table, **how) for table in GROWTH}
        with stage.serving([ROW]) as servers:
            verbs = measure_verbs(stage, servers[ROW.name], seconds=SECONDS * 2)
        consumed = measure_consume(stage, seconds=SECONDS * 2)
    sections = report.compared(GROWTH, measured)
    return "\n\n".join([TOLD, *sections, report.writes(verbs, consumed)])
