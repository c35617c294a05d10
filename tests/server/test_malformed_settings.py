"""Tests of malformed, missing or foreign settings: each is named before anything starts."""

import os
import runpy
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured

from reachscore.env_file import read_env_file
from reachscore.environment import PRODUCTION_ONLY, SECRETS
from tests.server.test_settings import PRODUCTION, ROOT, python

KEY = secrets.token_urlsafe(32)
URL = PRODUCTION["DATABASE_URL"]
ALL = {
    **PRODUCTION,
    "DEBUG": "false",
    "TRUSTED_PROXY_COUNT": "1",
    "METRICS_TOKEN": KEY,
    "EMAIL_URL": f"smtp://keys:{KEY}@mail.example",
    "EMAIL_FROM": "keys@api.example",
    "EGRESS_PROXY": "http://proxy.example:3128",
    "GATEWAY_TOKEN": f"{secrets.token_urlsafe(32)},{secrets.token_urlsafe(32)}",
    "AUTHZ_REQUIRES_GATEWAY_TOKEN": "false",
    "STAFF_SSO": "true",
    "STAFF_GATEWAY_TOKEN": secrets.token_urlsafe(32),
    "STAFF_PASSWORD_LOGIN": "false",
    "SECOND_FACTOR_REQUIRED": "true",
    "PREPARED_STATEMENTS": "true",
    "HSTS_PRELOAD": "false",
}
FLAGS = [name for name, value in ALL.items() if value in ("true", "false")]
# Characters that Docker, a shell or Windows leaves around a value.
AROUND = ['"{}"', "'{}'", '"{}', "{}'", "“{}”", " {}", "{} ", "{}\t", "{}\r", "{}\n", "\ufeff{}"]
INSIDE = ["{}\r\n{}", "{}\x1b{}", "{}\udcff{}"]
MALFORMED = [
    *((name, form.format(value, value)) for name, value in ALL.items() for form in AROUND + INSIDE),
    *(
        ("ALLOWED_HOSTS", hosts)
        for hosts in (
            *("*", "*.example.com", "https://api.example", "api.example:443", "api.example/"),
            *("::1", ",", " , ,", "api example", "a;b", 'a,"b"', "'a',b", "api_x.example"),
            *("api.example.", "bücher.example", ".", "[::1]:80", "a\r,b"),
        )
    ),
    *(
        ("DATABASE_URL", url)
        for url in (
            *("", " ", "\r\n", "db.example", "mysql://user:hunter2@db/keys?a=b", "host=a dbname=b"),
            *("postgres://user:hun@ter2@db/keys", "postgres://user:hunter2@s:s@db:5432/keys"),
            *("postgres://user:hun/ter2@db:5432/keys", "postgres://user:/hunter2@db/keys"),
            *("postgres://user:hun%ter2@db/keys", "postgres://user:hunter2@db:x/keys"),
            *("postgres://user:hunter2@db", "postgres://user:hunter2@db/", "postgres://u@[bad"),
            *("postgres://user:hunter2@db/keys?sslmode=on", "postgres://u@db/keys?sslmod=require"),
        )
    ),
    *((name, value) for name in FLAGS for value in ("True", "1", "yes", "no", "on", "FALSE")),
    *(
        ("PUBLIC_URL", url)
        for url in (
            *("api.example", "http://api.example", "https://api.example/", "https://api.example/x"),
            *("https://u:p@api.example", "https://192.0.2.1", "https://[::1]", "https://*.example"),
            *("https://api.example:", "https://api.example:0x", "https://Api.example", "https://"),
            *("https://a b.example", "https://api.example?a", "https://-a.example", "localhost"),
            *(
                "https://bücher.example",
                "https://a.example,https://b.example",
                "http://localhost:8000",
            ),
        )
    ),
    *(
        ("EMAIL_URL", url)
        for url in (
            *("mail.example", "http://mail.example", "smtp://", "smtp://:25", "smtp://u@h"),
            *("smtp://u:hunter2@mail.example:x", "smtp://h?from=a@b.example", "smtp://h/x"),
            *("smtp://:hunter2@h", "smtp://u:hun/ter2@h", "smtp://u:@h", "smtp://[::1"),
            *("smtp://h:0", ""),
        )
    ),
    *(
        ("EMAIL_FROM", value)
        for value in ("keys", "a@", "@b.example", "a@b.example,c@d.example", "A <a@b.example>", "")
    ),
    *(
        ("EGRESS_PROXY", value)
        for value in (
            *(
                "proxy.example:3128",
                "https://proxy.example:3128",
                "http://proxy.example",
                "http://",
            ),
            *("http://proxy.example:3128/", "http://u:hunter2@proxy.example:3128", "http://p:0"),
            *("http://p:65536", "http://[::1:3128", "http://a b:3128", "socks5://p:1080"),
        )
    ),
    *(
        (name, value)
        for name in ("API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS")
        for value in (
            *(KEY, f"x:{KEY}", f"0:{KEY}", f"-1:{KEY}", f"40000:{KEY}", f"1:{KEY},1:{KEY}"),
            *(f"1:{KEY},", "1:", "1:short", f"1:{KEY[:-3]}", f"1:{KEY}!", f"1:{KEY[:10]} {KEY}"),
        )
    ),
    *(
        ("GATEWAY_TOKEN", value)
        for value in (
            *(KEY[:31], f"{KEY},", f",{KEY}", f"{KEY}, {KEY}", f"{KEY},{KEY},{KEY}", f"{KEY};"),
            *(f"{KEY}é", KEY * 6, " "),
        )
    ),
    *(("TRUSTED_PROXY_COUNT", value) for value in ("-1", "1.0", "one", "100", "²")),
    *(
        ("STAFF_GATEWAY_TOKEN", value)
        for value in (
            *("", KEY[:31], f"{KEY} ", f"{KEY},", f"{KEY},{KEY[:31]}", f"{KEY}x,{KEY}y,{KEY}z"),
            *(f'{KEY}"', f"{KEY}ö", "x" * 256, f"{ALL['GATEWAY_TOKEN'][:43]},{KEY}x"),
        )
    ),
    ("STAFF_SSO", "false"),  # Nobody could log in.
    *(
        ("SECURITY_CONTACT", value)
        for value in ("me@x.example", "http://x.example", "mailto:a b@c", "https://")
    ),
    *(("METRICS_TOKEN", value) for value in ("x" * 15, f"{KEY} {KEY}", f"{KEY}ö")),
]


def settings_from(environ: dict[str, str]) -> dict[str, object]:
    """Return the settings of a process with this environment."""
    with mock.patch.object(os, "environ", environ):
        return runpy.run_path(str(ROOT / "reachscore" / "settings.py"))


def manage(*command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run manage.py with this environment only."""
    run = "runpy.run_path('manage.py', run_name='__main__')"
    return python(f"import runpy, sys; sys.argv[:] = {['manage.py', *command]}; {run}", **environ)


def test_malformed_setting_is_named_without_its_value():
    settings_from(ALL)
    for name, value in MALFORMED:
        try:
            settings_from({**ALL, name: value})
        except ImproperlyConfigured as error:
            said = str(error)
        else:
            pytest.fail(f"{name}={value!r} was taken.")
        assert name in said
        for hidden in (KEY, "ter2", *(ALL[known] for known in SECRETS)):
            assert hidden not in said, name


@pytest.mark.parametrize(
    "environ",
    [
        {"ALLOWED_HOSTS": "api.example, .example.org,127.0.0.1,[::1],"},
        {"DATABASE_URL": "postgres:///none"},
        {"DATABASE_URL": "postgresql://user@%2Frun%2Fpostgresql/keys"},
        {
            "DATABASE_URL": "postgres://u%40x:p%40s%2Fs%25?#&:$@a:1,b:2/keys?sslmode=verify-full&connect_timeout=9"
        },
        {"DATABASE_URL": "postgres://user@/keys?host=%2Ftmp"},
        {"EMAIL_URL": "smtp://[::1]:25"},
        {"PUBLIC_URL": "https://keys-1.api.example:8443"},
        {name: "" for name in ALL if name not in PRODUCTION},
    ],
)
def test_unusual_but_valid_setting_is_accepted(environ):
    assert settings_from({**ALL, **environ})["PRODUCTION"]


def test_database_url_may_change_the_time_outs_of_a_silent_network():
    url = "postgres://user@a:1,b:2/keys?connect_timeout=9"
    options: Any = settings_from({**ALL, "DATABASE_URL": url})["options"]
    assert (options["connect_timeout"], options["tcp_user_timeout"]) == ("9", "5000")
    assert (options["keepalives_idle"], options["keepalives_interval"]) == ("10", "2")


@pytest.mark.parametrize(
    ("url", "backend", "place", "login", "encrypted"),
    [
        ("", "dummy", None, None, None),
        ("smtp://h", "smtp", ("h", 587), ("", ""), (False, False)),
        ("smtp://u:p%40%2F@h:25", "smtp", ("h", 25), ("u", "p@/"), (True, False)),
        ("smtps://u:p@h", "smtp", ("h", 465), ("u", "p"), (False, True)),
    ],
)
def test_email_url_decides_backend_host_login_and_encryption(url, backend, place, login, encrypted):
    read = settings_from({**ALL, "EMAIL_URL": url, "EMAIL_FROM": url and ALL["EMAIL_FROM"]})
    assert read["EMAIL_BACKEND"] == f"django.core.mail.backends.{backend}.EmailBackend"
    if place:
        assert (read["EMAIL_HOST"], read["EMAIL_PORT"]) == place
        assert (read["EMAIL_HOST_USER"], read["EMAIL_HOST_PASSWORD"]) == login
        assert (read["EMAIL_USE_TLS"], read["EMAIL_USE_SSL"]) == encrypted
    assert settings_from({})["EMAIL_BACKEND"] == "django.core.mail.backends.filebased.EmailBackend"


def test_missing_database_url_beside_a_secret_is_refused_unless_debug():
    for name in PRODUCTION_ONLY:
        with pytest.raises(ImproperlyConfigured, match=f"DATABASE_URL is not set, but {name} is"):
            settings_from({name: ALL[name]})
        assert not settings_from({name: ALL[name], "DEBUG": "true"})["PRODUCTION"]
    assert not settings_from({})["PRODUCTION"]


# Runs commands of every kind in one process: Django's, ours, those that serve.
RUN_ALL = """
import runpy, sys
from pathlib import Path
main = runpy.run_path("manage.py")["main"]
ours = {file.stem for file in Path().glob("*/management/commands/[a-z]*.py")}
assert {"serve", "run_demo", "verify_audit", "revoke_api_key", "forget"} <= ours
theirs = "check clearsessions collectstatic dumpdata makemigrations migrate runserver shell"
for name in [*sorted(ours), *theirs.split()]:
    sys.argv = ["manage.py", name]
    try:
        main()
    except SystemExit as end:
        print(name, end.code)
    else:
        print(name, "ran")
"""


@pytest.mark.parametrize(
    ("environ", "beginning"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL is blank. Set it, or"),
        ({"AUDIT_KEYS": ALL["AUDIT_KEYS"]}, "DATABASE_URL is not set, but AUDIT_KEYS is, as in"),
        (
            {name: ALL[name] for name in ("AUDIT_KEYS", "SECRET_KEY")},
            "DATABASE_URL is not set, but SECRET_KEY and AUDIT_KEYS are, as in",
        ),
        ({**PRODUCTION, "AUDIT_KEYS": ""}, "DATABASE_URL is set, so this is production, which"),
    ],
)
def test_bad_settings_end_every_command_with_one_sentence(environ, beginning):
    done = python(RUN_ALL, **environ)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) > 15
    (sentence,) = {line.partition(" ")[2] for line in lines}
    assert sentence.startswith(beginning)
    assert not done.stderr


def test_serve_without_database_url_needs_an_explicit_debug():
    done = manage("serve")
    assert done.returncode == 1
    assert "DATABASE_URL is not set" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("command", [("migrate",), ("create_organization", "X"), ("key_peppers",)])
def test_unreachable_database_is_told_without_a_traceback(command):
    away = {**PRODUCTION, "DATABASE_URL": "postgres://u:pa55word@127.0.0.1:1/x"}
    done = manage(*command, **away)
    assert done.returncode == 1
    assert done.stderr.startswith("The database cannot be used: "), done.stderr
    assert "Traceback" not in done.stderr
    assert "pa55word" not in done.stderr
    assert "Traceback" in manage(*command, "--traceback", **away).stderr


def test_bad_settings_end_the_wsgi_import_with_one_sentence():
    done = python("import reachscore.wsgi", DATABASE_URL=URL)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "which also needs SECRET_KEY" in done.stderr


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=postgres://u:p@db/keys?a=b&c=d", "postgres://u:p@db/keys?a=b&c=d"),
        ("X=a$HOME`id`#no comment;|<>(", "a$HOME`id`#no comment;|<>("),
        ("  X = a b \t", "a b"),
        ("X=", ""),
        ("X='a\"$\\ b'", 'a"$\\ b'),
        (r'X="a\"\$\`\\\n \'"', "a\"$`\\\\n \\'"),
        ("X='a' \"b\" c'd\"", "abc'd\""),
        (r"X=a\ b\\c\'\&\ ", r"a b\c'& "),
        ("X=a\\\nb", "ab"),
        ('X="a\\\nb\nc"', "ab\nc"),
        ("# X=b\n;X=c\n\n\tX=a", "a"),
        ("X=b\r\nX=a\r\n", "a"),
    ],
)
def test_env_file_is_read_as_systemd_reads_it(tmp_path: Path, line: str, value: str):
    file = tmp_path / "env"
    for text in (line, f"{line}\n", f"Y=before\n{line}\nZ=after"):
        file.write_text(text, newline="")
        assert read_env_file(str(file))["X"] == value


@pytest.mark.parametrize("line", ["X", "export X=a", "X-Y=a", "X='a", 'X="a', "\ufeffX=a", "=a"])
def test_env_file_with_a_malformed_line_is_refused(tmp_path: Path, line: str):
    file = tmp_path / "env"
    file.write_text(f"A=b\n{line}\n" if line[0] != "\ufeff" else line)
    with pytest.raises(ImproperlyConfigured, match=r"Line [12] of .* does not read NAME=value"):
        read_env_file(str(file))
    file.write_bytes(b"X=\xff")
    for unreadable in (str(file), "", str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(ImproperlyConfigured, match="cannot be read"):
            read_env_file(unreadable)


def test_manage_reads_env_files_and_the_last_one_wins(tmp_path: Path):
    service, owner = tmp_path / "service.env", tmp_path / "owner.env"
    service.write_text("".join(f"{name}={value}\n" for name, value in ALL.items()))
    owner.write_text(
        f"DATABASE_URL={URL.replace('user', 'owner')}?sslmode=require&connect_timeout=9\n"
    )
    show = "from django.db import connection as c; print(c.settings_dict['USER'])"
    files = ["--env-file", str(service), "--env-file", str(owner)]
    command = [sys.executable, "manage.py", *files, "shell", "--no-imports", "-c", show]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("owner\n", "")
