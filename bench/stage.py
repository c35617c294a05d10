"""What every kind of run has in common: the database, secrets and a folder of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.database import Database
from bench.machine import ROOT, say
from bench.processes import end_tidily
from bench.rounds import ALL_CORES
from bench.servers import (
    Application,
    Server,
    production_environ,
    serving,
    wait_until_answering,
)
from reachscore.environment import numbered_keys


@dataclass(frozen=True)
class Stage:
    """Where variants perform. Secrets and keys of a run end with it."""

    database: Database
    environ: dict[str, str]  # Production's, less the database.
    folder: Path

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Stage"]:
        """Start the database and make the folder. It is nobody else's: keys lie in it."""
        end_tidily()
        database = Database()
        with (
            database.alone(),
            tempfile.TemporaryDirectory(prefix="reachscore-bench-") as folder,
        ):
            yield cls(database, production_environ(), Path(folder))

    @property
    def pepper(self) -> bytes:
        return numbered_keys(self.environ, "API_KEY_PEPPERS")[1]

    def ours(self, schema: str, *, name: str = "ours") -> Application:
        """Return the product itself, in production's settings."""
        environ = {**self.environ, "DATABASE_URL": self.database.url(schema)}
        return Application(name, "reachscore.wsgi:application", environ)

    def peer(self, module: str, schema: str, *, redis: Path | None) -> Application:
        """Return one of bench.peers."""
        environ = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.database.url(schema),
            "BENCH_PEER": module,
        }
        if redis is not None:
            environ["BENCH_REDIS"] = str(redis)
        if module == "floor":
            return Application(module, "bench.peers.floor:application", environ)
        return Application(module, environ=environ)

    def collect_static(self) -> None:
        """Collect the pages' files, as a deployment does."""
        subprocess.run(
            [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"],
            cwd=ROOT,
            env={**self.environ, "DATABASE_URL": self.database.url("public")},
            check=True,
        )

    @contextmanager
    def serving(
        self, applications: dict[str, tuple[Application, str]], *, workers: int
    ) -> Iterator[dict[str, Server]]:
        """Serve several applications at once; each comes with an Authorization it accepts."""
        with ExitStack() as stack:
            servers = {
                name: stack.enter_context(
                    serving(application, workers=workers, log=self.log_of(name, workers))
                )
                for name, (application, _) in applications.items()
            }
            for name, (_, authorization) in applications.items():
                log = self.log_of(name, workers)
                try:
                    wait_until_answering(servers[name], authorization)
                except RuntimeError as error:
                    raise RuntimeError(f"{name}: {error}\n{log.read_text()[-2000:]}") from error
            yield servers
            say("Ending the servers.")

    def log_of(self, name: str, workers: int) -> Path:
        """Return the file that takes what a server logs, as systemd would take it."""
        plain = "".join(c if c.isalnum() else "-" for c in name)
        return self.folder / f"{plain}-{workers}.log"


def workers_a_core() -> int:
    return len(ALL_CORES)
