"""Tests of upgrading a database of 0.2.0: its keys authenticate, and its audit log verifies.

tests/support/release_0_2_0.sql is `pg_dump --column-inserts --no-owner --no-privileges` of that
release with a customer, three test keys, a superuser and their events, under the keys below. The
secret parts of the keys are zeros, and the file holds only their digests.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings

from apikeys.plaintext import checksum
from tests.support.cast import ApiClient

DUMP = Path(__file__).resolve().parents[1] / "support" / "release_0_2_0.sql"
KEYS = {
    name: {1: f"0.2.0 {name} of this file, for tests alone".encode()}
    for name in ("API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS")
}


def plaintext(locator: str) -> str:
    body = f"rk_test_{locator}_{'0' * 32}"
    return body + checksum(body)


@pytest.fixture
def old_database(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Let Django use a database that is restored from the dump, as its owner."""
    given = connection.settings_dict
    name, options = given["NAME"], given["OPTIONS"]["options"]
    with django_db_blocker.unblock():
        connection.ensure_connection()
        address = {"host": given["HOST"], "port": given["PORT"], "user": given["USER"]}
        with psycopg.connect(**address, dbname="postgres", autocommit=True) as server:
            server.execute("DROP DATABASE IF EXISTS release_0_2_0")
            server.execute("CREATE DATABASE release_0_2_0")
            with psycopg.connect(**address, dbname="release_0_2_0") as restored:
                restored.execute(DUMP.read_bytes())
            connection.close()
            given["NAME"] = "release_0_2_0"
            given["OPTIONS"]["options"] = options.replace(" -c role=reachscore_app", "")
            with override_settings(**KEYS):
                yield
            connection.close()
            given["NAME"], given["OPTIONS"]["options"] = name, options
            server.execute("DROP DATABASE release_0_2_0 WITH (FORCE)")


def test_database_of_0_2_0_is_migrated_with_its_keys_events_and_rights(old_database, capsys):
    call_command("migrate", verbosity=0)
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    call_command("verify_audit")
    assert "service" in capsys.readouterr().out

    manager, reader, gone = (
        ApiClient(plaintext(locator)) for locator in ("Managing", "Reading0", "Revoked0")
    )
    listed = manager.get("/v1/keys")
    assert listed.status_code == 200, listed.content
    assert {key["name"] for key in listed.json()["data"]} == {"All scopes", "Reads tests", "Gone"}
    me = reader.get("/v1/auth/me").json()
    assert (me["scopes"], me["organization"]["name"]) == (["tests:read"], "Zoë & Söhne")
    assert gone.get("/v1/auth/me").status_code == 401
    assert Client().get("/readyz").status_code == 200
