"""The machines of docs/ha.md on loopback, with the configurations of deploy/ha.

Each machine has an address of its own in 127.0.0.0/8, so that the documented ports can stay.
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from random import SystemRandom
from tempfile import mkdtemp
from typing import Any, cast

import psutil
import psycopg

from tests.support.demo_server import ROOT
from tests.support.production_server import ProductionServer
from tests.support.proxies import HAPROXY, NGINX, SBIN, Proxy, start_nginx

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=SBIN)
POSTGRES = Path("/usr/lib/postgresql/15/bin")
PACKAGES = {
    "etcd-server": shutil.which("etcd"),
    "haproxy": HAPROXY,
    "nginx-light": NGINX,
    "pgbouncer": PGBOUNCER,
    "postgresql-15": (POSTGRES / "postgres").exists(),
}
PATRONI = ROOT / ".venv-ha" / "bin"
NOBODY = pwd.getpwnam("nobody")  # PostgreSQL refuses root.
NODES = ("db1", "db2", "db3")
PASSWORDS = {"SUPERUSER": "s", "REPLICATION": "r", "RESTAPI": "p"}
LONGEST_START_SECONDS = 90


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def until(what: str, condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Repeat `condition` until it returns something true; return that. Errors count as false."""
    deadline, last = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (OSError, psycopg.Error, psutil.Error, ValueError) as error:
            last = repr(error)
        time.sleep(0.2)
    raise AssertionError(f"Not in {seconds} s: {what}. {last}")


class Program:
    """A program that is started as nobody, logs into a file, and can be started again."""

    def __init__(self, folder: Path, name: str, *command: object, **environ: str) -> None:
        self.log = folder / f"{name}.log"
        self.command, self.environ = [str(word) for word in command], environ
        self.start()

    def start(self) -> None:
        as_nobody: dict[str, Any] = {}
        if os.geteuid() == 0:
            as_nobody = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env={"PATH": os.defpath, "LC_ALL": "C", **self.environ},
                start_new_session=True,
                **as_nobody,
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(60)


class Node:
    """A database machine: Patroni with its PostgreSQL."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self.cluster, self.name = cluster, name
        self.address = cluster.address(name)
        self.data = cluster.folder / name
        self.config = cluster.folder / f"{name}.yml"
        self.config.write_text(
            cluster.documented(
                "patroni.yml",
                THIS_NAME=name,
                THIS_ADDRESS=self.address,
                **{f"{account}_PASSWORD": word for account, word in PASSWORDS.items()},
                **{
                    "10.0.0.0/24": "127.0.0.0/8",  # Connections come from 127.0.0.1.
                    "/var/lib/postgresql/15/reachscore": str(self.data),
                    "/var/lib/postgresql/patroni.pgpass": f"{self.data}.pgpass",
                    "/var/run/postgresql": str(cluster.private(f"{name}-run")),
                    "mode: automatic": "mode: off",  # Of the watchdog: it would reset this machine.
                },
            )
        )
        python = (PATRONI / "python").resolve()  # `nobody` may not be able to enter the clone.
        command = (python, "-m", "patroni", self.config)
        packages = str(cluster.folder / "packages")
        self.patroni = Program(cluster.folder, f"{name}-patroni", *command, PYTHONPATH=packages)

    def postmaster(self) -> psutil.Process:
        """Return the running postmaster. Raise an OSError or psutil.Error if there is none."""
        process = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        if process.cwd() != str(self.data):
            raise ProcessLookupError(f"The pid file of {self.name} is stale.")
        return process

    def tree(self) -> list[psutil.Process]:
        """Return the machine's processes: Patroni, postmaster, all children."""
        found = [psutil.Process(self.patroni.process.pid), self.postmaster()]
        return found + [child for each in found for child in each.children(recursive=True)]

    def kill(self) -> None:
        """kill -9 of Patroni and postmaster. Children of a dead postmaster end by themselves."""
        postmaster = self.postmaster()
        self.patroni.process.kill()
        postmaster.kill()
        self.patroni.process.wait()

    def may_write(self) -> bool:
        """Return True if PostgreSQL itself runs as a primary, whatever Patroni thinks."""
        try:
            with self.cluster.connect(self.address) as connection:
                found = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        except psycopg.Error:
            return False
        return found == (False,)


class Cluster:
    """Three database machines, HAProxy and PgBouncer. Ends all its processes on exit."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="reachscore-ha-"))
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY.pw_uid, NOBODY.pw_gid)
        self.net = "127.{}.{}.".format(*SystemRandom().choices(range(1, 255), k=2))
        self.etcd: dict[str, Program] = {}
        self.nodes: dict[str, Node] = {}
        self.programs: list[Program] = []
        self.is_over = False

    def address(self, name: str) -> str:
        """Return the address of db1, web1 and so on, of docs/ha.md in our network."""
        kind, number = re.fullmatch(r"([a-z]+)(\d)", name).groups()  # type: ignore[union-attr]
        return f"{self.net}{ {'db': 1, 'web': 2}[kind] }{number}"

    def documented(self, file: str, **replaced: str) -> str:
        """Return a file of deploy/ha for this network, with these texts replaced too."""
        text = (ROOT / "deploy" / "ha" / file).read_text()
        for old, new in replaced.items():
            assert old in text, f"{old} is not in deploy/ha/{file}."
            text = text.replace(old, new)
        return text.replace("10.0.0.", self.net)

    def private(self, name: str) -> Path:
        """Make a folder of the account that runs the programs."""
        folder = self.folder / name
        folder.mkdir(0o700)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
        return folder

    def __enter__(self) -> "Cluster":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        shutil.copytree(
            next((PATRONI.parent / "lib").glob("python*/site-packages")), self.folder / "packages"
        )
        for name in NODES:
            text = self.documented(
                "etcd.env",
                THIS_NAME=name,
                THIS_ADDRESS=self.address(name),
                **{"/var/lib/etcd/reachscore": str(self.folder / f"{name}-etcd")},
            )
            environ = dict(re.findall(r"^(ETCD_\w+)=(.*)$", text, re.MULTILINE))
            self.etcd[name] = Program(self.folder, f"{name}-etcd", "etcd", **environ)
        self.nodes = {name: Node(self, name) for name in NODES}
        file = self.folder / "haproxy.cfg"
        here = {"127.0.0.1:5000": f"{self.net}5:5000", "user haproxy": "", "group haproxy": ""}
        file.write_text(self.documented("haproxy.cfg", **here))
        self.programs += [Program(self.folder, "haproxy", HAPROXY, "-db", "-f", file)]
        until("three nodes", self.is_whole, seconds=LONGEST_START_SECONDS)
        self._make_roles()
        self._start_pgbouncer()

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # A second one would leave programs behind.
        processes = [program.process for program in self.programs]
        processes += [node.patroni.process for node in self.nodes.values()]
        processes += [etcd.process for etcd in self.etcd.values()]
        postmasters = []
        for node in self.nodes.values():
            with contextlib.suppress(OSError, psutil.Error):
                postmasters.append(node.postmaster())
        for process in (*processes, *postmasters):
            with contextlib.suppress(psutil.Error):
                process.kill()
        for started in processes:
            started.wait(20)
        psutil.wait_procs(postmasters, timeout=10)
        time.sleep(1)  # Until orphaned backends have noticed.
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, role: str, *, route: str = "haproxy") -> str:
        """Return DATABASE_URL of this role by one of the three routes of docs/ha.md."""
        login, one = f"postgres://{role}:{role}", f"@{self.net}5"
        hosts = ",".join(f"{self.address(name)}:5432" for name in NODES)
        options = "target_session_attrs=read-write&connect_timeout=2"
        return {
            "haproxy": f"{login}{one}:5000/reachscore",
            "pgbouncer": f"{login}{one}:6432/reachscore",
            "hosts": f"{login}@{hosts}/reachscore?{options}",
        }[route]

    @contextlib.contextmanager
    def connect(self, address: str | None = None) -> Iterator["psycopg.Connection[Any]"]:
        """Connect as the superuser, by default to the primary."""
        with psycopg.connect(
            host=address or self.primary().address,
            dbname="postgres" if address else "reachscore",
            user="postgres",
            password=PASSWORDS["SUPERUSER"],
            autocommit=True,
            connect_timeout=3,
        ) as connection:
            yield connection

    def members(self) -> list[dict[str, Any]]:
        """Return Patroni's list of the nodes, from the first that answers."""
        for node in self.nodes.values():
            with contextlib.suppress(OSError):
                url = f"http://{node.address}:8008/cluster"
                with urllib.request.urlopen(url, timeout=2) as answer:
                    found: list[dict[str, Any]] = json.load(answer)["members"]
                    return found
        return []

    def primary(self) -> Node:
        """Return the node that HAProxy would choose. Raise OSError if it is not exactly one."""
        found = []
        for node in self.nodes.values():
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://{node.address}:8008/primary", timeout=2).close()
                found.append(node)
        if len(found) != 1:
            raise OSError(f"{len(found)} nodes say that they are the primary.")
        return found[0]

    def standbys(self) -> list[Node]:
        primary = self.primary()
        return [node for node in self.nodes.values() if node is not primary]

    def is_whole(self) -> bool:
        """Return True if both standbys stream and are in the quorum."""
        states = sorted(f"{m['role']} {m['state']}" for m in self.members())
        return states == ["leader running", *["quorum_standby streaming"] * 2]

    def patronictl(self, *words: str) -> str:
        """Run patronictl as docs/ha.md does."""
        command = [str(PATRONI / "patronictl"), "-c", str(self.nodes["db1"].config), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _make_roles(self) -> None:
        variables = ["database=reachscore"]
        variables += [f"{role}_password=reachscore_{role}" for role in ("owner", "app")]
        subprocess.run(
            [
                POSTGRES / "psql",
                *(part for variable in variables for part in ("-v", variable)),
                *("-h", self.primary().address, "-U", "postgres", "--quiet"),
                *("-f", ROOT / "deploy" / "roles.sql"),
            ],
            env={"PGPASSWORD": PASSWORDS["SUPERUSER"], "PATH": os.defpath},
            check=True,
            timeout=30,
        )
        with self.connect() as connection:
            for limit in ("lock_timeout = '2s'", "statement_timeout = '5s'"):
                connection.execute(f"ALTER ROLE reachscore_app SET {limit}".encode())

    def _start_pgbouncer(self) -> None:
        """Start PgBouncer 1.18 without what 1.25 adds."""
        text, _, _ = self.documented(
            "pgbouncer.ini",
            **{
                "host=127.0.0.1": f"host={self.net}5",
                "listen_addr = 127.0.0.1": f"listen_addr = {self.net}5",
                "/run/postgresql": str(self.folder),
                "/etc/pgbouncer": str(self.folder),
            },
        ).partition("; From 1.21 on")
        (self.folder / "userlist.txt").write_text('"reachscore_app" "reachscore_app"\n')
        file = self.folder / "pgbouncer.ini"
        file.write_text(f"{text}so_reuseport = 1\n")
        program = Program(self.folder, "pgbouncer", PGBOUNCER, file)
        self.programs += [program]
        threading.Thread(target=self._keep, args=(program,), daemon=True).start()

    def _keep(self, program: Program) -> None:
        """Start a program again if it ends by itself, as systemd does: PgBouncer 1.18 crashes."""
        while not self.is_over:
            time.sleep(0.2)
            if program.process.poll() is not None and not self.is_over:
                say(f"    {program.log.stem} ended by itself and is started again")
                time.sleep(1)  # RestartSec of docs/ha.md.
                if not self.is_over:
                    program.start()


class Instance(ProductionServer):
    """The service on a web machine. If it ends by itself, it is started again, as by systemd."""

    def __init__(self, cluster: Cluster, name: str, *, like: "Instance | None" = None) -> None:
        super().__init__(cast(Any, cluster), like=like)  # Has the `url` that is needed.
        self.cluster = cluster
        self.name, self.host, self.port = name, cluster.address(name), 8000
        self.log = (cluster.folder / f"{name}.log").open("ab")
        self.restarts, self.is_planned, self.route = 0, False, ""
        self.environ = dict(self.environ)
        hosts = ["127.0.0.1", *map(cluster.address, ("web1", "web2"))]
        self.environ["ALLOWED_HOSTS"] = ",".join(hosts)
        self._choose("haproxy")

    def _choose(self, route: str) -> None:
        self.route = route
        self.environ["DATABASE_URL"] = self.cluster.url("reachscore_app", route=route)
        self.environ["PREPARED_STATEMENTS"] = str(route != "pgbouncer").lower()

    def __enter__(self) -> "Instance":
        super().__enter__()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_planned = True
        self.stop()

    def start(self) -> None:
        """Start the server, which takes over 20 s on a busy machine, and a deliverer."""
        self.spawn()
        self.until("/readyz", 200, seconds=LONGEST_START_SECONDS)
        self.deliverer = subprocess.Popen(
            [sys.executable, "manage.py", "deliver"],
            cwd=ROOT,
            env=self.environ,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def stop(self) -> int:
        self.deliverer.terminate()
        self.deliverer.wait(timeout=65)
        return super().stop()

    def move_to(self, route: str) -> None:
        """Restart with this route to the database: haproxy, pgbouncer or hosts."""
        if route != self.route:
            self._choose(route)
            self.restart()

    def restart(self) -> None:
        self.is_planned = True
        try:
            self.stop()
            self.start()
        finally:
            self.is_planned = False

    def _watch(self) -> None:
        while True:
            time.sleep(0.2)
            if self.process.poll() is not None and not self.is_planned:
                self.restarts += 1
                time.sleep(1)  # RestartSec of deploy/reachscore@.service.
                if self.process.poll() is not None and not self.is_planned:
                    self.spawn()


@contextlib.contextmanager
def front(cluster: Cluster) -> Iterator[Proxy]:
    """Start nginx with deploy/nginx.conf and the two web machines of deploy/ha."""
    folder = cluster.folder / "nginx"
    folder.mkdir()
    proxy = start_nginx(folder, (), upstream=cluster.documented("upstream.conf"))
    try:
        yield proxy
    finally:
        proxy.stop()
