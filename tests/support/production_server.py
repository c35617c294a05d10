"""`manage.py serve` with production settings, on a PostgreSQL that a test may stop and break."""

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from tempfile import gettempdir
from typing import IO, Any
from urllib.parse import quote

import psycopg

from reachscore.devdb.cluster import USER, Cluster, find_programs
from tests.support.demo_server import ROOT, free_port

# As if `deliver` were running, or /readyz would warn.
SEEN = """
    INSERT INTO notices_lane SELECT name, now() + interval '1 day', 0, 0
      FROM unnest(ARRAY['mails', 'reports']) AS name ON CONFLICT DO NOTHING
"""

# The headers added by a proxy in front of production.
PROXIED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirects)

# The same in all workers of pytest-xdist, and new in each run.
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex


@dataclass
class Answer:
    status: int
    headers: Message
    body: str
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


class Database:
    """A PostgreSQL of its own, with the roles and the database of deploy/roles.sql."""

    name = "service"

    def __init__(self) -> None:
        home = Path(gettempdir(), f"reachscore-faults-{uuid.uuid4().hex[:12]}")
        self.cluster = Cluster(home, throwaway=True)
        self.start()
        variables = (f"database={self.name}", "owner_password=o", "app_password=a")
        subprocess.run(
            [
                str(find_programs()[0] / "psql"),
                *(part for variable in variables for part in ("-v", variable)),
                *("-h", self.cluster.host, "-U", USER, "-d", "postgres"),
                *("--quiet", "-f", str(ROOT / "deploy" / "roles.sql")),
            ],
            check=True,
            timeout=120,
        )

    def url(self, role: str) -> str:
        """Return DATABASE_URL for this role."""
        host = quote(self.cluster.host, safe="")
        return f"postgres://{role}@/{self.name}?host={host}"

    def start(self) -> None:
        self.cluster.start()

    def stop(self) -> None:
        """Shut the server down as an operator would; its clients' connections break."""
        self.cluster.stop()

    def connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """Connect as the superuser."""
        return psycopg.connect(
            host=self.cluster.host,
            dbname=self.name,
            user=USER,
            autocommit=True,
        )

    def run(self, *statements: str) -> None:
        """Run statements as the superuser, each in its own transaction."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def cut_connections(self) -> None:
        """End every connection of the service, as a restart or a failover would."""
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'reachscore_app'"
        )


def production_environ(database: Database) -> dict[str, str]:
    """Return the environment of a deployment, with secrets of its own."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database.url("reachscore_app"),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "API_KEY_PEPPERS": f"1:{secrets.token_urlsafe(32)}",
        "AUDIT_KEYS": f"1:{secrets.token_urlsafe(32)}",
        "ENCRYPTION_KEYS": f"1:{secrets.token_urlsafe(32)}",
        "ALLOWED_HOSTS": "127.0.0.1",
        "PUBLIC_URL": "https://api.example",
        "TRUSTED_PROXY_COUNT": "1",
    }


class ProductionServer:
    """Starts on entry, migrated; ends with SIGTERM on exit."""

    host = "127.0.0.1"
    log: int | IO[bytes] = subprocess.DEVNULL

    def __init__(
        self, database: Database, *, like: "ProductionServer | None" = None, workers: int = 2
    ) -> None:
        """Prepare an instance; with `like`, it shares the other's secrets and runs beside it."""
        self.is_another = like is not None
        self.workers = workers
        self.port = free_port()
        self.database = database
        self.environ: dict[str, str] = like.environ if like else production_environ(database)

    def manage(self, *args: str) -> str:
        """Run a management command in the service's environment; return its stdout."""
        return self._manage(self.environ, *args)

    def _manage(self, environ: dict[str, str], *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def __enter__(self) -> "ProductionServer":
        if not self.is_another:
            as_owner = {**self.environ, "DATABASE_URL": self.database.url("reachscore_owner")}
            self._manage(as_owner, "migrate", "--verbosity=0")
            with psycopg.connect(self.database.url("reachscore_owner")) as connection:
                connection.execute(SEEN)
            self.collect_files()
        self.start()
        return self

    def collect_files(self) -> None:
        """Run collectstatic once per test run, since it takes longer than migrating."""
        folder = ROOT / "staticfiles"
        folder.mkdir(exist_ok=True)
        with (folder / ".collected").open("a+") as collected:
            fcntl.flock(collected, fcntl.LOCK_EX)  # Two workers may come at once.
            collected.seek(0)
            if collected.read() != RUN:
                self.manage("collectstatic", "--noinput", "--verbosity=0")
                collected.truncate(0)
                collected.write(RUN)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        self.spawn()
        self.until("/readyz", 200)
        assert self.process.poll() is None, "another server answers on this port"

    def spawn(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "serve"),
                *("--host", self.host, "--port", str(self.port)),
                *("--workers", str(self.workers)),
            ],
            cwd=ROOT,
            env=self.environ,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def stop(self) -> int:
        """Stop the server and wait for its end; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def ask(
        self,
        path: str,
        *,
        key: str = "",
        body: object = None,
        cookie: str = "",
        method: str | None = None,
    ) -> Answer:
        """Send GET, POST with a body, or `method`; return the answer, redirects not followed."""
        headers = {**PROXIED, "Cookie": cookie}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(
            f"http://{self.host}:{self.port}{path}", data=data, headers=headers, method=method
        )
        began = time.monotonic()
        try:
            with OPENER.open(request, timeout=60) as response:
                return Answer(
                    response.status,
                    response.headers,
                    response.read().decode(),
                    time.monotonic() - began,
                )
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(
                    refused.code,
                    refused.headers,
                    refused.read().decode(),
                    time.monotonic() - began,
                )

    def until(self, path: str, status: int, *, seconds: float = 60) -> Answer:
        """Repeat the request until the answer has this status; return the answer."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self.ask(path)
            except OSError as error:
                last: object = error
            else:
                if answer.status == status:
                    return answer
                last = answer
            assert time.monotonic() < deadline, last
            time.sleep(0.05)
