"""Development needs no environment at all; production refuses to start without its secrets."""

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
from django.core.exceptions import ImproperlyConfigured

from reachscore.environment import (
    count,
    database_from_url,
    development_secrets,
    flag,
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
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("missing", [name for name in PRODUCTION if name != "DATABASE_URL"])
def test_production_refuses_to_start_without(missing):
    environ = {name: value for name, value in PRODUCTION.items() if name != missing}
    done = python(SHOW, **environ)
    assert done.returncode != 0
    assert missing in done.stderr.splitlines()[-1]
    for value in environ.values():
        assert value not in done.stderr


def test_all_that_is_missing_is_said_at_once():
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
def test_a_database_url_means_production_unless_debug(environ, production, debug, engine):
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
def test_production_asks_staff_for_a_second_factor_unless_told_otherwise(environ, required):
    shown = python(
        "from django.conf import settings as s; print(s.SECOND_FACTOR_REQUIRED)", **environ
    )
    if required is None:
        assert "SECOND_FACTOR_REQUIRED must be true or false" in shown.stderr
    else:
        assert shown.stdout.strip() == str(required), shown.stderr


def test_production_imports_nothing_of_the_development_database():
    show = (
        "import django, sys; django.setup(); from django.db import connection; connection.vendor; "
        "print([name for name in sys.modules if name.startswith('reachscore.devdb')])"
    )
    assert python(show, **PRODUCTION).stdout == "[]\n"
    assert "reachscore.devdb.base" in python(show).stdout


def test_development_listens_to_loopback_names_only():
    assert json.loads(python(SHOW).stdout)[3] == ["127.0.0.1", "localhost", "[::1]"]


@pytest.mark.parametrize(("value", "threshold"), [("", 5), ("true", 5), ("false", None)])
def test_prepared_statements_can_be_switched_off(value, threshold):
    show = "from reachscore.settings import DATABASES; print(DATABASES['default']['OPTIONS'])"
    done = python(show, **PRODUCTION, PREPARED_STATEMENTS=value)
    assert f"'prepare_threshold': {threshold}" in done.stdout, done.stderr


@pytest.mark.parametrize("value", ["True", "1", "yes", "no", "FALSE", " true"])
def test_a_switch_is_exactly_true_or_false(value):
    with pytest.raises(ImproperlyConfigured, match="DEBUG must be true or false"):
        flag({"DEBUG": value}, "DEBUG", default=False)


@pytest.mark.parametrize("value", ["-1", "1.0", "one", "100", "²", " 1"])
def test_a_number_of_proxies_is_a_number(value):
    with pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXY_COUNT must be a number"):
        count({"TRUSTED_PROXY_COUNT": value}, "TRUSTED_PROXY_COUNT", default=0)
    assert count({"TRUSTED_PROXY_COUNT": "2"}, "TRUSTED_PROXY_COUNT", default=0) == 2
    assert count({}, "TRUSTED_PROXY_COUNT", default=0) == 0


@pytest.mark.parametrize(
    "value",
    [
        "",
        KEY,
        f"x:{KEY}",
        f"0:{KEY}",
        f"-1:{KEY}",
        f"40000:{KEY}",
        f"1:{KEY},1:{KEY}",
        f"1:{KEY},",
        "1:",
        "1:short",
        f"1:{KEY[:-3]}",
        f"1:{KEY}!",
        f"1:{KEY[:10]} {KEY[10:]}",
    ],
    ids=lambda value: f"{len(value)} long",  # The values are random.
)
def test_a_bad_list_of_peppers_is_refused_without_showing_it(value):
    with pytest.raises(ImproperlyConfigured) as caught:
        numbered_keys({"API_KEY_PEPPERS": value}, "API_KEY_PEPPERS")
    assert "API_KEY_PEPPERS" in str(caught.value)
    assert KEY[:8] not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        KEY[:31],
        f"{KEY},",
        f",{KEY}",
        f"{KEY}, {KEY}",
        f"{KEY},{KEY},{KEY}",
        f"{KEY} ",
        f"{KEY}\n",
        f"{KEY};",
        f'"{KEY}"',
        f"{KEY}é",
        KEY * 6,
        " ",
    ],
    ids=lambda value: f"{len(value)} long",
)
def test_a_malformed_gateway_token_is_refused_without_showing_it(value):
    with pytest.raises(ImproperlyConfigured, match=r"^GATEWAY_TOKEN must hold") as caught:
        gateway_tokens({"GATEWAY_TOKEN": value}, "GATEWAY_TOKEN")
    assert KEY[:8] not in str(caught.value)


def test_one_or_two_gateway_tokens_are_read_and_weak_or_shared_ones_are_refused_in_production():
    assert gateway_tokens({}, "GATEWAY_TOKEN") == ()
    assert gateway_tokens({"GATEWAY_TOKEN": ""}, "GATEWAY_TOKEN") == ()
    both = gateway_tokens({"GATEWAY_TOKEN": f"{KEY},{'0' * 32}"}, "GATEWAY_TOKEN")
    assert both == (KEY.encode(), b"0" * 32)
    for value in ("changeme" * 4, PRODUCTION["SECRET_KEY"]):
        refused = python(SHOW, **PRODUCTION, GATEWAY_TOKEN=value).stderr.splitlines()[-1]
        assert "GATEWAY_TOKEN" in refused
        assert value not in refused


def test_peppers_keep_their_order_and_may_be_padded():
    first, second = secrets.token_bytes(32), secrets.token_bytes(48)
    padded = base64.urlsafe_b64encode(first).decode()
    bare = base64.urlsafe_b64encode(second).decode().rstrip("=")
    read = numbered_keys({"KEYS": f"2:{padded}, 1:{bare}"}, "KEYS")
    assert list(read.items()) == [(2, first), (1, second)]


def test_a_database_url_is_read_as_libpq_reads_it():
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


def test_a_bad_database_url_is_refused_without_showing_it():
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as caught:
        database_from_url("postgres://user:hunter2@[bad")
    assert "hunter2" not in str(caught.value)


def test_development_secrets_are_made_once_and_are_the_owners_alone(tmp_path):
    file = tmp_path / "local" / "secrets.json"
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(development_secrets, [file] * 8))
    assert all(found == read[0] for found in read)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == ["secrets.json"]
    assert set(read[0]) == {"SECRET_KEY", "API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS"}


def test_development_secrets_made_by_an_older_version_are_kept_and_completed(tmp_path):
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"SECRET_KEY": "old", "AUDIT_KEYS": f"1:{KEY}"}))
    read = development_secrets(file)
    assert (read["SECRET_KEY"], read["AUDIT_KEYS"]) == ("old", f"1:{KEY}")
    assert list(numbered_keys(read, "ENCRYPTION_KEYS")) == [1]
    assert development_secrets(file) == read


def test_public_url_in_development_is_localhost_and_any_origin_when_set():
    show = "from django.conf import settings as s; print(s.PUBLIC_URL)"
    for environ, shown in (
        ({}, "http://localhost:8000"),
        ({"PUBLIC_URL": "http://localhost:8001"}, "http://localhost:8001"),
        (PRODUCTION, "https://api.example"),
    ):
        assert python(show, **environ).stdout.strip() == shown


def test_an_old_python_is_told_so_before_django_is_imported():
    code = (
        "import sys; sys.version_info = (3, 9, 2); sys.modules['django'] = None; "
        "exec(compile(open('manage.py').read(), 'manage.py', 'exec'))"
    )
    done = python(code)
    assert done.returncode == 1
    assert done.stderr.strip() == "ReachScore needs Python 3.11 or newer; this is 3.9."
