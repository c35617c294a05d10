"""Tests behind PgBouncer in transaction mode, configured as docs/deploy.md says and wrongly."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.demo_server import free_port
from tests.support.production_server import Database, ProductionServer
from tests.support.standby import standby_away
from tests.support.waiting import answers, until

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed here")

# The service has more connections than the pool, so that they have to be shared.
CONFIGURATION = """
[databases]
service = host={folder} dbname=service user=reachscore_app
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
ignore_startup_parameters = options
query_wait_timeout = 3
{more}
"""
LIMITS = ("SET lock_timeout = '2s'", "SET statement_timeout = '5s'")


@contextmanager
def pooled(database: Database, file: Path, *, more: str = "") -> Iterator[str]:
    """Start PgBouncer; yield its DATABASE_URL."""
    port = free_port()
    folder = database.cluster.host
    file.write_text(CONFIGURATION.format(folder=folder, port=port, more=more))
    as_nobody = ("-u", "nobody") if os.geteuid() == 0 else ()
    assert PGBOUNCER
    process = subprocess.Popen([PGBOUNCER, *as_nobody, str(file)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(port))
        yield f"postgres://reachscore_app@127.0.0.1:{port}/service"
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def database() -> Database:
    return Database()


@pytest.fixture(scope="module")
def server(database: Database, tmp_path_factory) -> Iterator[ProductionServer]:
    # Pooled sessions have the settings of the role, and no others.
    database.run("ALTER DATABASE service SET datestyle = 'German'")
    file = tmp_path_factory.mktemp("pgbouncer") / "pgbouncer.ini"
    with pooled(database, file) as url:
        production = ProductionServer(database, workers=1)
        production.environ.update(DATABASE_URL=url, PREPARED_STATEMENTS="false")
        with production:
            yield production


@pytest.fixture(scope="module")
def key(server: ProductionServer) -> str:
    """Issue a key by commands through the pool."""
    organization = server.manage("create_organization", "Acme", "--plan", "enterprise")
    return server.manage("issue_api_key", organization, "--name", "CI")


def use(server: ProductionServer, key: str) -> None:
    """Read and write from more threads than the pool has connections, and check each answer."""

    def one(number: int) -> None:
        name = f"child {number}"
        made = server.ask("/v1/keys", key=key, body={"name": name})
        assert made.status == 201, made
        address = f"/v1/keys/{made.json()['id']}"
        for path, shown in (("/v1/auth/me", "CI"), (address, name), ("/v1/keys?limit=1", "child")):
            answer = server.ask(path, key=key)
            assert answer.status == 200, answer
            assert shown in answer.body
        assert server.ask(address, key=key, method="DELETE").status == 200

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(30)))


def test_service_behind_pgbouncer_warns_until_the_role_has_its_timeouts(server, database, key):
    (warning,) = server.ask("/readyz").json()["warnings"]
    assert warning.endswith(" differ, it should be: lock_timeout 2s, statement_timeout 5s.")
    database.run(*(f"ALTER ROLE reachscore_app {limit}" for limit in LIMITS))
    database.cut_connections()
    server.until("/readyz", 200)
    assert server.ask("/readyz").json()["warnings"] == []
    use(server, key)
    assert "Checked" not in server.manage("verify_audit")


def test_differing_role_settings_behind_pgbouncer_are_a_warning(server, database, key):
    database.run(
        "ALTER ROLE reachscore_app SET default_transaction_isolation = 'repeatable read'",
        "ALTER ROLE reachscore_app SET extra_float_digits = 0",
    )
    database.cut_connections()
    try:
        answer = server.until("/readyz", 200)
    finally:
        database.run(
            "ALTER ROLE reachscore_app SET default_transaction_isolation = 'read committed'",
            "ALTER ROLE reachscore_app SET extra_float_digits = 1",
        )
        database.cut_connections()
    (warning,) = answer.json()["warnings"]
    assert warning.endswith("default_transaction_isolation read committed, extra_float_digits 1.")


@pytest.mark.parametrize("more", ["", "server_reset_query_always = 1"])
def test_pooler_that_loses_prepared_statements_fails_no_request(
    server, database, key, tmp_path, more
):
    with pooled(database, tmp_path / "pgbouncer.ini", more=more) as url:
        careless = ProductionServer(database, like=server, workers=1)
        careless.environ = {**server.environ, "DATABASE_URL": url, "PREPARED_STATEMENTS": "true"}
        with careless:
            use(careless, key)


def test_unconfirmed_commit_behind_pgbouncer_is_503_in_time(server, database, key):
    with standby_away(database.connect):
        answer = server.ask("/v1/keys", key=key, body={"name": "unseen"})
    assert (answer.status, 7.9 < answer.seconds < 2 * 10) == (503, True)
    assert "may have happened" in answer.body
    assert '"unseen"' in server.ask("/v1/keys?limit=1", key=key).body
