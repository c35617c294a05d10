"""Tests of the audit log in production: the roles of deploy/roles.sql, verify_audit as by cron."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from reachscore.health import LOOK_AT_SESSIONS
from tests.support.demo_server import ROOT
from tests.support.production_server import Database, ProductionServer

REPLACE_FUNCTION = """
    CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RETURN NULL; END'
"""


@pytest.fixture(scope="module")
def database() -> Database:
    return Database()


@pytest.fixture(scope="module")
def server(database: Database) -> Iterator[ProductionServer]:
    with ProductionServer(database, workers=1) as production:
        yield production


def verify(server: ProductionServer, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "verify_audit", *args],
        cwd=ROOT,
        env=server.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_verify_audit_in_production_finds_a_cut_off_tail_by_the_kept_heads(
    server: ProductionServer, database: Database, tmp_path: Path
) -> None:
    organization = server.manage("create_organization", "Acme")
    key = server.manage("issue_api_key", organization, "--name", "CI")
    assert server.ask("/v1/keys", key=key, body={"name": "made by a key"}).status == 201

    sound = verify(server)

    assert (sound.returncode, sound.stderr) == (0, "Checked 3 events in 2 chains.\n")
    assert sound.stdout.startswith(f"{organization} 3 ")
    assert sound.stdout.count("\n") == 2
    heads = tmp_path / "heads"
    heads.write_text(sound.stdout)
    with database.connect() as connection:
        (address,) = connection.execute(
            "SELECT host(ip) FROM audit_auditevent WHERE sequence = 3"
        ).fetchone() or ("",)
    assert address == "192.0.2.7"

    database.run(
        "ALTER TABLE audit_auditevent DISABLE TRIGGER USER",
        "ALTER TABLE audit_audithead DISABLE TRIGGER USER",
        "DELETE FROM audit_auditevent WHERE sequence = 3",
        "UPDATE audit_audithead SET sequence = 2,"
        " seal = (SELECT seal FROM audit_auditevent WHERE sequence = 2)"
        f" WHERE organization_id = '{organization}'",
        "ALTER TABLE audit_auditevent ENABLE TRIGGER USER",
        "ALTER TABLE audit_audithead ENABLE TRIGGER USER",
    )

    assert verify(server).returncode == 0
    cut = verify(server, "--expect", str(heads))
    assert cut.returncode == 1
    assert cut.stdout.startswith(f"{organization} 2 ")
    assert cut.stderr == (
        f"{organization}: the kept head is number 3, the log now ends at 2: the events after it are"
        " gone.\nChecked 2 events in 2 chains.\nCommandError: Found 1 fault.\n"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_auditevent SET reason = ''",
        "DELETE FROM audit_auditevent",
        "TRUNCATE audit_auditevent",
        "DELETE FROM audit_audithead",
        "TRUNCATE audit_audithead",
        "UPDATE audit_audithead SET sequence = 0",
        "ALTER TABLE audit_auditevent DISABLE TRIGGER USER",
        "ALTER TABLE audit_audithead DISABLE TRIGGER audit_head_one_step",
        "DROP TRIGGER audit_event_append_only ON audit_auditevent",
        "DROP FUNCTION audit_append_only CASCADE",
        REPLACE_FUNCTION,
        "SET session_replication_role = replica",
        "SET ROLE reachscore_owner",
        "DROP TABLE audit_auditevent",
    ],
)
def test_runtime_role_in_production_cannot_change_the_audit_log(
    server: ProductionServer, database: Database, sql: str
) -> None:
    with (
        psycopg.connect(database.url("reachscore_app")) as connection,
        pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege)),
    ):
        connection.execute(sql.encode())


def test_runtime_role_sees_the_age_of_another_roles_snapshot(
    server: ProductionServer, database: Database
) -> None:
    with (
        psycopg.connect(database.url("reachscore_owner")) as dump,
        psycopg.connect(database.url("reachscore_app"), autocommit=True) as app,
    ):
        dump.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        dump.execute("SELECT 1")
        for number in range(3):
            found = app.execute(LOOK_AT_SESSIONS).fetchone()
            assert found is not None
            assert found[1] >= number
            app.execute("SELECT pg_current_xact_id()")


def test_nightly_unit_compares_with_the_heads_of_the_last_good_night(
    server: ProductionServer, tmp_path: Path
) -> None:
    unit = (ROOT / "deploy" / "reachscore-task@verify_audit.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    command = shlex.split(line.replace("$$", "$").replace("%%", "%"))
    environ = {**server.environ, "STATE_DIRECTORY": str(tmp_path)}
    heads = tmp_path / "heads"

    def night() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )

    assert night().returncode == 0
    first = heads.read_text()
    organization = server.manage("create_organization", "Initech")
    assert night().returncode == 0
    second = heads.read_text()
    assert organization in second
    assert organization not in first

    kept = re.sub(rf"^{organization} 1 ", f"{organization} 2 ", second, flags=re.MULTILINE)
    heads.write_text(kept)
    bad = night()
    assert bad.returncode == 1
    assert organization in bad.stderr
    assert heads.read_text() == kept
    assert len(list(tmp_path.glob("heads.2*"))) == 1


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="There is no systemd here.")
def test_systemd_units_verify(tmp_path: Path) -> None:
    units = [*(ROOT / "deploy").glob("*.service"), *(ROOT / "deploy").glob("*.timer")]
    for unit in units:
        # systemd-analyze checks that executables and users exist.
        text = unit.read_text().replace("/opt/reachscore", str(ROOT))
        (tmp_path / unit.name).write_text(text.replace("User=reachscore", "User=root"))
    names = [str(tmp_path / unit.name) for unit in units]
    done = subprocess.run(
        ["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False
    )
    assert len(names) == 5
    assert (done.returncode, done.stderr) == (0, "")
