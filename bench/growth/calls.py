"""The processor time of one call, in the web process and in PostgreSQL apart."""

import argparse
from collections import defaultdict
from statistics import median
from typing import Any, Final

from bench.load import Run, put_load
from bench.machine import say
from bench.report import table
from bench.stage import Stage
from bench.writes import ROW, measure_verbs

HOW: Final[dict[str, Any]] = {"seconds": 3, "connections": 4}
NAMES: Final = {
    "bearer": "`GET /v1/auth/me`",
    "forward": "`GET /v1/authz/…`, a gateway's question",
    "list": "`GET /v1/keys`, 20 keys",
    "issue": "`POST /v1/keys`",
    "rotate": "`POST /v1/keys/{id}/rotate`",
    "revoke": "`DELETE /v1/keys/{id}`",
}


def measure(options: argparse.Namespace) -> str:
    """Return the section."""
    runs: defaultdict[str, list[Run]] = defaultdict(list)
    with Stage.open() as stage:
        stage.prepare([ROW])
        stage.write("list", [("GET", "/v1/keys", f"Bearer {one}", "") for one in stage.managers])
        with stage.serving([ROW]) as servers:
            server = servers[ROW.name]
            for number in range(options.rounds + 1):
                measured = {
                    name: put_load(server, stage.files[name], database=stage.database.pid, **HOW)
                    for name in ("bearer", "forward", "list")
                }
                measured |= measure_verbs(stage, server, **HOW)
                for name, run in measured.items() if number else ():
                    runs[name].append(run)
                say(f"Round {number} of {options.rounds}." if number else "Warmed up.")
    rows = [
        (
            NAMES[name],
            *(
                f"{median(figures):.2f} ({min(figures):.2f})"
                for figures in ([r.cpu_ms for r in told], [r.database_ms for r in told])
            ),
        )
        for name, told in runs.items()
    ]
    told = f"Milliseconds of processor time: the median of {options.rounds} rounds and the lowest."
    return f"## One call\n\n{told}\n\n{table(('', 'web process', 'PostgreSQL'), rows)}"
