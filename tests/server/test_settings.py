"""Tests of the settings: development needs no environment, production needs its secrets."""

import base64
import json
import os
import secrets
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reachscore.environment import (
    database_from_url,
    development_secrets,
    gateway_tokens,
    numbered_keys,
)

ROOT = Path(__file__).resolve().parents[2]
KEY = secrets.token_urlsafe(32)
PRODUCTION = {
    "DATABASE_URL": "postgres://user:secret@db.example:5432/keys",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "API_KEY_PEPPERS": f"1:{secrets.token_urlsafe(32)}",
    "AUDIT_KEYS": f"1:{secrets.token_urlsafe(32)}",
    "ENCRYPTION_KEYS": f"1:{secrets.token_urlsafe(32)}",
    "ALLOWED_HOSTS": "api.example",
    "PUBLIC_URL": "https://api.example",
}
SHOW = (
    "from django.conf import settings as s; import json; "
    "print(json.dumps([s.PRODUCTION, s.DEBUG, s.DATABASES['default']['ENGINE'], s.ALLOWED_HOSTS]))"
)


def python(code: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    kept = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "reachscore.settings"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize("missing", [name for name in PRODUCTION if name != "DATABASE_URL"])
def test_production_without_a_required_setting_does_not_start(missing):
    environ = {name: value for name, value in PRODUCTION.items() if name != missing}
    done = python(SHOW, **environ)
    assert done.returncode != 0
    assert missing in done.stderr.splitlines()[-1]
    for value in environ.values():
        assert value not in done.stderr


def test_missing_settings_are_all_named_at_once():
    done = python(SHOW, DATABASE_URL=PRODUCTION["DATABASE_URL"])
    assert "AUDIT_KEYS, ENCRYPTION_KEYS, ALLOWED_HOSTS, PUBLIC_URL." in done.stderr


@pytest.mark.parametrize(
    ("environ", "production", "debug", "engine"),
    [
        ({}, False, True, "reachscore.devdb"),
        ({"DEBUG": "false"}, False, False, "reachscore.devdb"),
        (PRODUCTION, True, False, "web.database"),
        ({**PRODUCTION, "DEBUG": "false"}, True, False, "web.database"),
        (
            {"DATABASE_URL": PRODUCTION["DATABASE_URL"], "DEBUG": "true"},
            False,
            True,
            "web.database",
        ),
    ],
)
def test_database_url_means_production_unless_debug(environ, production, debug, engine):
    done = python(SHOW, **environ)
    assert json.loads(done.stdout)[:3] == [production, debug, engine], done.stderr


@pytest.mark.parametrize(
    ("environ", "required"),
    [
        ({}, False),
        (PRODUCTION, True),
        ({**PRODUCTION, "SECOND_FACTOR_REQUIRED": "false"}, False),
        ({"SECOND_FACTOR_REQUIRED": "true"}, True),
        ({"SECOND_FACTOR_REQUIRED": "no"}, None),
    ],
)
def test_second_factor_is_required_in_production_by_default(environ, required):
    shown = python(
        "from django.conf import settings as s; print(s.SECOND_FACTOR_REQUIRED)", **environ
    )
    if required is None:
        assert "SECOND_FACTOR_REQUIRED must be true or false" in shown.stderr
    else:
        assert shown.stdout.strip() == str(required), shown.stderr


def test_production_does_not_import_the_development_database():
    show = (
        "import django, sys; django.setup(); from django.db import connection; connection.vendor; "
        "print([name for name in sys.modules if name.startswith('reachscore.devdb')])"
    )
    assert python(show, **PRODUCTION).stdout == "[]\n"
    assert "reachscore.devdb.base" in python(show).stdout


def test_serving_process_does_not_import_what_renders_the_docs():
    show = (
        "import sys; from reachscore.wsgi import application; from django.test import Client; "
        "print([Client(SERVER_NAME='localhost').get(path).status_code for path in "
        "('/docs', '/docs/guides/keys', '/docs/guides/keys.md', '/docs/search?q=key', '/llms.txt')]"
        ", [sys.modules.get(name) for name in ('markdown_it', 'pygments')])"
    )
    assert python(show).stdout == "[200, 200, 200, 200, 200] [None, None]\n"


def test_development_allows_loopback_hosts_only():
    assert json.loads(python(SHOW).stdout)[3] == ["127.0.0.1", "localhost", "[::1]"]


@pytest.mark.parametrize(("value", "threshold"), [("", 5), ("true", 5), ("false", None)])
def test_prepared_statements_can_be_switched_off(value, threshold):
    show = "from reachscore.settings import DATABASES; print(DATABASES['default']['OPTIONS'])"
    done = python(show, **PRODUCTION, PREPARED_STATEMENTS=value)
    assert f"'prepare_threshold': {threshold}" in done.stdout, done.stderr


def test_one_or_two_gateway_tokens_are_accepted_and_weak_or_shared_ones_refused():
    assert gateway_tokens({}, "GATEWAY_TOKEN") == ()
    assert gateway_tokens({"GATEWAY_TOKEN": ""}, "GATEWAY_TOKEN") == ()
    both = gateway_tokens({"GATEWAY_TOKEN": f"{KEY},{'0' * 32}"}, "GATEWAY_TOKEN")
    assert both == (KEY.encode(), b"0" * 32)
    for value in ("changeme" * 4, PRODUCTION["SECRET_KEY"]):
        refused = python(SHOW, **PRODUCTION, GATEWAY_TOKEN=value).stderr.splitlines()[-1]
        assert "GATEWAY_TOKEN" in refused
        assert value not in refused


def test_forward_authentication_takes_the_token_by_default_and_cannot_take_one_without_it():
    show = "from django.conf import settings as s; print(s.AUTHZ_REQUIRES_GATEWAY_TOKEN)"
    name, token = "AUTHZ_REQUIRES_GATEWAY_TOKEN", {"GATEWAY_TOKEN": KEY}
    for environ, required in (
        ({}, "False"),
        (token, "True"),
        ({**token, name: "false"}, "False"),
        ({**token, name: "true"}, "True"),
    ):
        assert python(show, **PRODUCTION, **environ).stdout.strip() == required
    done = python(show, **PRODUCTION, **{name: "true"})
    assert done.returncode != 0
    assert f"{name}=true also needs GATEWAY_TOKEN." in done.stderr


def test_peppers_keep_their_order_and_may_be_padded():
    first, second = secrets.token_bytes(32), secrets.token_bytes(48)
    padded = base64.urlsafe_b64encode(first).decode()
    bare = base64.urlsafe_b64encode(second).decode().rstrip("=")
    read = numbered_keys({"KEYS": f"2:{padded}, 1:{bare}"}, "KEYS")
    assert list(read.items()) == [(2, first), (1, second)]


def test_database_url_is_parsed_as_libpq_does():
    read = database_from_url("postgres://us%40er:p%3Ass@db.example:6432/keys?sslmode=require")
    assert read == {
        "ENGINE": "web.database",
        "NAME": "keys",
        "USER": "us@er",
        "PASSWORD": "p:ss",
        "HOST": "db.example",
        "PORT": "6432",
        "OPTIONS": {"sslmode": "require"},
    }


def test_development_secrets_are_made_once_and_readable_by_the_owner_only(tmp_path):
    file = tmp_path / "local" / "secrets.json"
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(development_secrets, [file] * 8))
    assert all(found == read[0] for found in read)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == ["secrets.json"]
    assert set(read[0]) == {"SECRET_KEY", "API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS"}


def test_development_secrets_of_an_older_version_are_kept_and_completed(tmp_path):
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"SECRET_KEY": "old", "AUDIT_KEYS": f"1:{KEY}"}))
    read = development_secrets(file)
    assert (read["SECRET_KEY"], read["AUDIT_KEYS"]) == ("old", f"1:{KEY}")
    assert list(numbered_keys(read, "ENCRYPTION_KEYS")) == [1]
    assert development_secrets(file) == read


def test_public_url_is_localhost_in_development_unless_set():
    show = "from django.conf import settings as s; print(s.PUBLIC_URL)"
    for environ, shown in (
        ({}, "http://localhost:8000"),
        ({"PUBLIC_URL": "http://localhost:8001"}, "http://localhost:8001"),
        (PRODUCTION, "https://api.example"),
    ):
        assert python(show, **environ).stdout.strip() == shown


def test_old_python_is_refused_before_django_is_imported():
    code = (
        "import sys; sys.version_info = (3, 9, 2); sys.modules['django'] = None; "
        "exec(compile(open('manage.py').read(), 'manage.py', 'exec'))"
    )
    done = python(code)
    assert done.returncode == 1
    assert done.stderr.strip() == "ReachScore needs Python 3.11 or newer; this is 3.9."
