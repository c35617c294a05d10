"""Issue, rotate, revoke over HTTP, each with its audit event; and `consume`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.keys_in_use import KeysInUse
from bench.load import Run, put_load, write_requests
from bench.machine import ROOT, say
from bench.seed_ours import ORGANIZATIONS, seed_ours
from bench.stage import Stage, workers_a_core

SCHEMA: Final = "bench_writes"
KEYS: Final = 10_000
CONNECTIONS: Final = 16
CLIENTS: Final = 4  # Processes that consume, as a service's workers would.

MADE: Final = """
    SELECT k.id, o.n
      FROM apikeys_apikey k
      JOIN (SELECT n, bench_id('org', n) AS id FROM generate_series(1, %(organizations)s) n) o
        ON o.id = k.organization_id
     WHERE k.name = 'Made' AND k.revoked_at IS NULL
     ORDER BY random()
"""


class Writes:
    """The write verbs on a schema of their own, which they change."""

    def __init__(self, stage: Stage, keys: KeysInUse) -> None:
        self.stage, self.keys = stage, keys
        seed_ours(stage.database, schema=SCHEMA, keys=KEYS)
        keys.store(stage.database, schema=SCHEMA, keys=KEYS, pepper=stage.pepper)

    def verbs(self, *, seconds: int) -> dict[str, Run]:
        """Measure each verb: keys are made, then these are rotated, then revoked."""
        name = "ours, writing"
        first = f"Bearer {self.keys.spread[0]}"
        with self.stage.serving(
            {name: (self.stage.ours(SCHEMA), first)}, workers=workers_a_core()
        ) as servers:
            server = servers[name]

            def put(file: Path, *, in_order: bool = False) -> Run:
                run = put_load(
                    server.url,
                    file,
                    server=server.process.pid,
                    connections=CONNECTIONS,
                    seconds=seconds,
                    in_order=in_order,
                )
                if run.refused or run.broken:
                    raise RuntimeError(f"A write was refused: {run}.")
                return run

            made = {"issue": put(self._to_issue())}
            made["rotate"] = put(self._to_made("POST", "/rotate", {"overlap_seconds": 0}))
            made["revoke"] = put(self._to_made("DELETE", "", None), in_order=True)
        return made

    def consume(self, *, seconds: int) -> dict[str, float]:
        """Return how often a second `consume` was granted, hot and spread."""
        return {
            "consume, one hot organization": self._consume(self.keys.hot, seconds),
            "consume, spread": self._consume(self.keys.spread, seconds),
        }

    def _to_issue(self) -> Path:
        managers = [f"Bearer {one}" for one in self.keys.managers]
        body = json.dumps({"name": "Made", "scopes": ["tests:read", "tests:write"]})
        return write_requests(
            self.stage.folder / "issue", managers, method="POST", path="/v1/keys", body=body
        )

    def _to_made(self, method: str, action: str, body: dict[str, Any] | None) -> Path:
        """Write a request for each key that was made, by its organization's manager."""
        with self.stage.database.connect(SCHEMA) as connection:
            found = connection.execute(MADE, {"organizations": ORGANIZATIONS}).fetchall()
        sent = json.dumps(body) if body is not None else ""
        lines = [
            f"{method}\t/v1/keys/{key_id}{action}\tBearer {self.keys.managers[n - 1]}\t{sent}\n"
            for key_id, n in found
        ]
        file = self.stage.folder / f"{method}{len(action)}"
        file.write_text("".join(lines))
        return file

    def _consume(self, plaintexts: list[str], seconds: int) -> float:
        say(f"Consuming with {CLIENTS} processes.")
        file = self.stage.folder / "consume"
        file.write_text("\n".join(plaintexts[:500]))
        clients = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.consumer", str(file), str(seconds)],
                cwd=ROOT,
                env=self.stage.ours(SCHEMA).environ,
                stdout=subprocess.PIPE,
            )
            for _ in range(CLIENTS)
        ]
        try:
            told = [client.communicate(timeout=seconds + 120)[0] for client in clients]
        finally:
            for client in clients:
                client.kill()
        return sum(float(one) for one in told)
