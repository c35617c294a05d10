"""Where variants perform: one PostgreSQL, one Redis, keys and secrets of this run, servers."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from os import environ as shell
from pathlib import Path
from secrets import token_urlsafe
from socket import socket
from subprocess import PIPE
from typing import Final

from apikeys.plaintext import new_plaintext
from bench.database import Database
from bench.machine import ROOT, running, say
from bench.seed import HOT, ORGANIZATIONS, SPREAD, fill, fill_peers, renew_peer_keys, store
from bench.table import COMPARED, KEYS, YEAR, Row
from reachscore.environment import numbered_keys
from reachscore.server import server_command

PATH: Final = "/v1/auth/me"
FORWARD: Final = "/v1/authz/forward?require=tests:read"
ROUND: Final = "/v1/auth/me?require=tests:read"  # By way of Django.
PEERS: Final = "bench_peers"


@dataclass(frozen=True)
class Server:
    """A running server, and the file that takes what it logs, as systemd would take it."""

    pid: int
    port: int
    log: Path

    def ask(self, authorization: str, path: str = PATH) -> tuple[int, bytes]:
        """Return status and body of one request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        # As requests.lua sends it: with what a proxy in front of production adds.
        headers = {"Host": "127.0.0.1", "X-Forwarded-Proto": "https", "Connection": "close"}
        headers |= {"X-Forwarded-For": "192.0.2.7", "Authorization": authorization}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()

    def wait(self) -> None:
        """Return once it answers, no matter what. Raises RuntimeError if it never does."""
        for _ in range(600):
            with suppress(OSError):
                self.ask("")
                return
            time.sleep(0.1)
        raise RuntimeError(f"A server does not answer. {self.last_words()}")

    def last_words(self) -> str:
        return f"It logged:\n{self.log.read_text()[-2000:]}"


class Stage:
    """Secrets and keys of a run end with it: its folder is nobody else's, and removed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.redis = folder, folder / "redis.sock"
        self.database = Database()
        self.files: dict[str, Path] = {}  # Requests to send.
        # Plaintexts of the keys in use, new in each run, so that none lies about on a disk.
        made = [new_plaintext(livemode=True) for _ in range(SPREAD + HOT + ORGANIZATIONS)]
        self.spread, self.hot = made[:SPREAD], made[SPREAD:-ORGANIZATIONS]
        self.managers = made[-ORGANIZATIONS:]
        # A deployment's environment, less the database.
        self.environ = {"PATH": shell["PATH"], "ALLOWED_HOSTS": "127.0.0.1"}
        self.environ |= {"TRUSTED_PROXY_COUNT": "1", "METRICS_TOKEN": token_urlsafe(32)}
        self.environ |= {"AUDIT_KEYS": f"1:{token_urlsafe(32)}", "SECRET_KEY": token_urlsafe(48)}
        self.environ |= {"PUBLIC_URL": "https://api.example"}
        for name in ("API_KEY_PEPPERS", "ENCRYPTION_KEYS"):
            self.environ[name] = f"1:{token_urlsafe(32)}"

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Stage"]:
        """Start PostgreSQL as it comes, fsync on, and a Redis that writes nothing to disk."""
        with tempfile.TemporaryDirectory(prefix="reachscore-bench-") as folder:
            stage = cls(Path(folder))
            command = ["redis-server", "--port", "0", "--unixsocket", str(stage.redis)]
            command += ["--save", "", "--appendonly", "no", "--dir", folder]
            with running(command, environ={"PATH": shell["PATH"]}):
                yield stage

    def prepare(self, rows: Sequence[Row]) -> None:
        """Seed what these rows need; give the keys in use new secrets, and write them to files."""
        used, apps = self.spread + self.hot, {row.app for row in rows}
        pepper = numbered_keys(self.environ, "API_KEY_PEPPERS")[1]
        for schema in sorted({row.data for row in rows}):
            with self.database.seeding(schema) as connection:
                if connection:
                    say(f"Seeding {KEYS[schema]:,} keys, once.")
                    self.run("manage.py", "migrate", "--verbosity=0", schema=schema)
                    days = 365 if schema == YEAR else 0
                    fill(connection, keys=KEYS[schema], days=days, events=1_000)
            with self.database.connect(schema) as connection:
                store(connection, used + self.managers, keys=KEYS[schema], pepper=pepper)
        authorizations = {
            "bearer": [f"Bearer {one}" for one in self.spread],
            "half hot": [f"Bearer {one}" for one in used],
            "unknown": [f"Bearer {new_plaintext(livemode=True)}" for _ in self.spread],
            # The same keys, each with a typo at its end.
            "malformed": [f"Bearer {k[:-1]}{'1' if k[-1] == '0' else '0'}" for k in self.spread],
        }
        if apps != {"ours"}:
            with self.database.seeding(PEERS, COMPARED) as connection:
                if connection:
                    command = ("-m", "django", "migrate", "--run-syncdb", "--verbosity=0")
                    self.run(*command, schema=PEERS, DJANGO_SETTINGS_MODULE="bench.peers.settings")
                    fill_peers(connection)
            with self.database.connect(PEERS, COMPARED) as connection:
                authorizations |= renew_peer_keys(connection, self.spread)
        for name, sent in authorizations.items():
            self.write(name, [("GET", PATH, one, "") for one in sent])
        for name, path in (("forward", FORWARD), ("round", ROUND)):
            self.write(name, [("GET", path, one, "") for one in authorizations["bearer"]])
        self.run("manage.py", "collectstatic", "--noinput", "--verbosity=0", schema="public")

    def write(self, name: str, requests: Iterable[tuple[str, str, str, str]]) -> Path:
        """Write requests to send into a file: method, path, Authorization and body."""
        file = self.files[name] = self.folder / name
        file.write_text("".join("\t".join(one) + "\n" for one in requests))
        return file

    def run(self, *command: str, schema: str, **environ: str) -> str:
        """Run a Python program in production's environment; return what it prints."""
        environ |= self.environ | {"DATABASE_URL": self.database.url(schema)}
        words, log = [sys.executable, *command], self.folder / "log"
        with log.open("ab") as err:  # It logs to a file, as a server does.
            done = subprocess.run(
                words, cwd=ROOT, env=environ, stdout=PIPE, stderr=err, check=False
            )
        if done.returncode:
            raise RuntimeError(f"{command} failed: {log.read_text()[-2000:]}")
        return done.stdout.decode()

    @contextmanager
    def serving(self, rows: Iterable[Row]) -> Iterator[Mapping[str, Server]]:
        """Serve each row, and rows that differ in nothing but their keys by one server."""
        servers: dict[tuple[str, str, int], Server] = {}
        with ExitStack() as stack:
            for row in rows:
                which = (row.app, row.data, row.workers)
                if which not in servers:
                    servers[which] = stack.enter_context(self._serving(row))
            for server in servers.values():
                server.wait()
            yield {row.name: servers[row.app, row.data, row.workers] for row in rows}

    @contextmanager
    def _serving(self, row: Row) -> Iterator[Server]:
        """Start a server with production's own command line, but for what it serves."""
        target, environ, schema = "reachscore.wsgi", self.environ, row.data
        if row.app != "ours":
            target = "bench.peers.floor" if row.app == "floor" else "bench.peers.wsgi"
            environ, schema = {"BENCH_PEER": row.app, "BENCH_REDIS": str(self.redis)}, PEERS
        environ = {**environ, "PATH": shell["PATH"], "DATABASE_URL": self.database.url(schema)}
        with socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = server_command(host="127.0.0.1", port=port, workers=row.workers)
        command[-1] = f"{target}:application"
        log = self.folder / f"{port}.log"
        with log.open("wb") as output, running(command, environ=environ, output=output) as pid:
            yield Server(pid, port, log)
