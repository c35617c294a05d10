"""The Django backend, in a process of its own with the fewest settings."""

import os
import subprocess
import sys
from pathlib import Path

from .processes import REPOSITORY, everything_of, is_up, wait_until

SETTINGS = """
import os, signal, sys
from pathlib import Path
import django
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection, connections
from reachscore.embedded.cluster import Cluster

home = Path(sys.argv[1])
cluster = Cluster(home=home, throwaway=True)
settings.configure(
    DATABASES={
        "default": {"ENGINE": "reachscore.embedded", "NAME": "reachscore", "CLUSTER": cluster}
    }
)
django.setup()
assert connection.vendor == "postgresql"
assert not list(home.glob("[0-9]*/postmaster.pid")), "settings have started something"

def value(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
"""


def run_with_settings(code: str, home: Path, **variables: str) -> str:
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", SETTINGS + code, str(home)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **variables, "PYTHONPATH": str(REPOSITORY)},
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_the_first_connection_starts_the_server_whatever_the_caller_has_set(home: Path) -> None:
    code = "print(value('SELECT current_user || current_database()'))"
    told = run_with_settings(code, home, PGPORT="1", PGHOST="nowhere", PGUSER="x")
    assert told == "reachscorereachscore\n"
    wait_until(lambda: not everything_of(home))


def test_a_process_whose_server_was_killed_connects_again(home: Path) -> None:
    code = """
value("SELECT 1")
os.kill(int((cluster.socket_folder / ".s.PGSQL.5432.lock").read_text().split()[0]), 9)
try:
    while True:  # until the killed server's backend has noticed
        value("SELECT 1")
except OperationalError:
    connection.close()
print(value("SELECT 2"))
"""
    assert run_with_settings(code, home) == "2\n"


def test_dbshell_starts_the_server_and_its_own_psql(home: Path) -> None:
    code = "call_command('dbshell', '--', '-XAtc', 'SELECT current_user')"
    assert run_with_settings(code, home, PATH="/nowhere") == "reachscore\n"


def test_a_test_database_is_made_and_removed(home: Path) -> None:
    code = """
name = connection.creation.create_test_db(verbosity=0)
print(value("SELECT current_database()"))
connection.creation.destroy_test_db("reachscore", verbosity=0)
"""
    assert run_with_settings(code, home) == "test_reachscore\n"


def test_a_server_that_cannot_be_had_is_a_mistake_of_configuration(new_home: Path) -> None:
    code = """
from django.db import OperationalError
home.mkdir()
(home / "file").touch()
try:
    value("SELECT 1")
except OperationalError as error:
    print("did not make" in str(error))
(home / "file").unlink()
"""
    assert run_with_settings(code, new_home) == "True\n"
    assert not is_up(new_home)
