"""Tests of the steps of docs/deploy.md, run as written, with an & in DATABASE_URL."""

import re
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from reachscore.devdb.cluster import find_programs
from tests.support.demo_server import ROOT
from tests.support.production_server import Database

DOC = (ROOT / "docs" / "deploy.md").read_text()
FIRST_TIME = DOC[DOC.index("## First time") : DOC.index("## The proxy in front")]
STEPS = [
    re.sub("^   ", "", block, flags=re.MULTILINE)
    for block in re.findall(r"^   ```sh\n(.*?)^   ```$", FIRST_TIME, re.MULTILINE | re.DOTALL)
]
MANAGE = ".venv/bin/python manage.py --env-file /etc/reachscore.env "


@pytest.fixture(scope="module")
def database() -> Database:
    made = Database()
    made.run("DROP DATABASE reachscore")  # The steps make it, and the roles.
    for role in ("owner", "app"):
        made.run(f"ALTER ROLE reachscore_{role} RENAME TO former_{role}")
    return made


def test_first_time_steps_of_the_deploy_doc_work_as_written(
    database: Database, tmp_path: Path
) -> None:
    assert len(STEPS) == 10
    for folder in ("bin", "etc/systemd/system", "etc/nginx/conf.d"):
        (tmp_path / folder).mkdir(parents=True)
    socket = database.cluster.host
    stand_ins = {
        "useradd": "",
        "systemctl": "",
        "runuser": f'shift 4; exec "{find_programs()[0]}/psql" -h {socket} -U reachscore'
        ' -d postgres "$@"',
        **{name: f'exec /usr/bin/{name} "$@"' for name in ("sed", "install", "cat")},
    }
    seen = tmp_path / "arguments"  # ps shows them to every user of the machine.
    for name, line in stand_ins.items():
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho "$@" >>{seen}\n{line}\n')
        (tmp_path / "bin" / name).chmod(0o755)
    edit = (
        f"sed -i 's|@127.0.0.1:5432/reachscore|@/reachscore?host={quote(socket, safe='')}"
        "\\&connect_timeout=9|' /etc/reachscore.env"
    )
    script = "\n".join([*STEPS[:3], edit, *STEPS[3:], f"{MANAGE}forget", f"{MANAGE}clearsessions"])
    script = re.sub(r"^(python3 -m venv|\.venv/bin/pip) .*$", "", script, flags=re.MULTILINE)
    # Other tests serve from the folder meanwhile.
    script = script.replace("collectstatic --noinput", "collectstatic --noinput --dry-run")
    done = subprocess.run(
        ["sh", "-eu"],
        input=script.replace("/etc/", f"{tmp_path}/etc/").replace("/opt/reachscore", str(ROOT)),
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "EDITOR": "true"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "Applying apikeys.0001_initial... OK" in done.stdout
    assert "0 key days\n" in done.stdout
    service, owner = (tmp_path / "etc" / f"reachscore{of}.env" for of in ("", "-owner"))
    token = re.findall(r"^GATEWAY_TOKEN=(.+)$", service.read_text(), re.MULTILINE)[0]
    map_file = tmp_path / "etc/nginx/reachscore-token.conf"
    assert map_file.read_text() == f'map "" $reachscore_token {{ default {token}; }}\n'
    assert owner.read_text().startswith("DATABASE_URL=postgres://reachscore_owner:")
    assert owner.read_text().count("\n") == 1
    text = service.read_text() + owner.read_text()
    secrets = re.findall(r"(?:^[A-Z_]+=(?:1:)?|app:|owner:)([\w-]{40,})", text, re.MULTILINE)
    assert len(secrets) == 7
    arguments = seen.read_text()
    assert "reachscore.env" in arguments
    assert not [secret for secret in secrets if secret in arguments]
    assert {oct(file.stat().st_mode)[-3:] for file in (service, owner, map_file)} == {"600"}
    units = {file.name for file in (tmp_path / "etc/systemd/system").iterdir()}
    assert {"reachscore@.service", "reachscore-task@.timer"} < units


def test_manage_commands_in_the_deploy_doc_take_the_settings_file() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if "manage.py" in line]
    assert len(lines) >= 4
    for line in lines:
        assert line.strip().startswith(MANAGE), line
    enabled = set(re.findall(r"reachscore-task@(\w+)\.timer", FIRST_TIME))
    commands = {file.stem for file in ROOT.glob("*/management/commands/*.py")}
    assert enabled - commands == {"clearsessions"}
