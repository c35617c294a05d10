"""Issue, rotate and revoke over HTTP, each with its audit event; and `consume`.

`python -m bench.writes FILE SECONDS` consumes as one process of a sibling service does, with the
keys of the file, and prints how often a second that was granted.
"""

import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import django
from django.utils import timezone

from bench.load import Run, put_load
from bench.machine import say
from bench.seed import ORGANIZATIONS
from bench.stage import Server, Stage
from bench.table import WORKERS, WRITTEN, Row

CLIENTS: Final = 4  # Processes that consume, as a service's workers would.
ROW: Final = Row("ours, writing", data=WRITTEN, workers=WORKERS)
MADE: Final = """
    SELECT '/v1/keys/' || id, n
      FROM apikeys_apikey JOIN generate_series(1, %s) n ON organization_id = bench_id('org', n)
     WHERE name = 'Made' AND revoked_at IS NULL ORDER BY random()
"""


def measure_verbs(
    stage: Stage, server: Server, *, seconds: int, connections: int = 16
) -> dict[str, Run]:
    """Measure each verb once: keys are made, then these are rotated, then revoked."""
    managers = [f"Bearer {one}" for one in stage.managers]
    body = '{"name": "Made", "scopes": ["tests:read", "tests:write"]}'
    overlap = '{"overlap_seconds": 0}'
    with stage.database.connect(WRITTEN) as connection:
        how: dict[str, Any] = {"seconds": seconds, "connections": connections}
        how["database"] = stage.database.pid
        issue = stage.write("issue", [("POST", "/v1/keys", one, body) for one in managers * 10])
        measured = {"issue": put_load(server, issue, **how)}
        made = connection.execute(MADE, [ORGANIZATIONS]).fetchall()
        keys = [(path, managers[n - 1]) for path, n in made]
        rotate = stage.write("rotate", [("POST", f"{k}/rotate", by, overlap) for k, by in keys])
        measured["rotate"] = put_load(server, rotate, **how)
        revoke = stage.write("revoke", [("DELETE", k, by, "") for k, by in keys])
        measured["revoke"] = put_load(server, revoke, **how)
    return measured


def measure_consume(stage: Stage, *, seconds: int) -> dict[str, float]:
    """Return how often a second `consume` was granted, hot and spread."""
    say(f"Consuming with {CLIENTS} processes.")
    measured, file = {}, stage.folder / "consume"
    for where, plaintexts in (("one hot organization", stage.hot), ("spread", stage.spread)):
        file.write_text("\n".join(plaintexts[:500]))
        command = ("-m", "bench.writes", str(file), str(seconds))
        with ThreadPoolExecutor() as pool:
            clients = [pool.submit(stage.run, *command, schema=WRITTEN) for _ in range(CLIENTS)]
        measured[f"consume, {where}"] = sum(float(client.result()) for client in clients)
    return measured


def consume_for(seconds: float, plaintexts: list[str]) -> float:
    """Consume, and return how often a second it was granted."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "reachscore.settings"
    django.setup()
    # After the set-up, as for every module that holds models.
    from accounts.models import Meter  # noqa: PLC0415
    from apikeys.authentication.admission import admit_caller  # noqa: PLC0415
    from apikeys.meters import consume  # noqa: PLC0415

    callers = [admit_caller(one, now=timezone.now()) for one in plaintexts]
    for caller in callers[:50]:
        consume(caller, Meter.TESTS)
    granted, began = 0, time.monotonic()
    while (took := time.monotonic() - began) < seconds:
        consume(random.choice(callers), Meter.TESTS)
        granted += 1
    return granted / took


if __name__ == "__main__":
    sys.stdout.write(str(consume_for(float(sys.argv[2]), Path(sys.argv[1]).read_text().split())))
