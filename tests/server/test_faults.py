"""Tests of database faults: each request is answered in time, and service resumes by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.support.production_server import Answer, Database, ProductionServer
from tests.support.standby import standby_away
from web.database.session import SESSION


@pytest.fixture(scope="module")
def database() -> Database:
    return Database()


@pytest.fixture(scope="module")
def server(database: Database) -> Iterator[ProductionServer]:
    with ProductionServer(database) as production:
        yield production


@pytest.fixture(scope="module")
def organization(server: ProductionServer) -> str:
    return server.manage("create_organization", "Acme", "--plan", "enterprise")


@pytest.fixture(scope="module")
def key(server: ProductionServer, organization: str) -> str:
    return server.manage("issue_api_key", organization, "--name", "CI")


def assert_unavailable(answer: Answer) -> None:
    assert answer.status == 503, answer
    assert answer.json()["error"]["code"] == "temporarily_unavailable"
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["error"]["request_id"] == answer.headers["Request-Id"]


def test_held_lock_fails_a_write_in_time_and_delays_no_read(server, database, organization, key):
    with database.connect() as holder, holder.transaction():
        holder.execute(
            "SELECT 1 FROM audit_audithead WHERE organization_id = %s FOR UPDATE",
            [organization],
        )
        with ThreadPoolExecutor() as pool:
            write = pool.submit(server.ask, "/v1/keys", key=key, body={"name": "late"})
            reads = [server.ask("/v1/auth/me", key=key) for _ in range(20)]
        assert_unavailable(write.result())
        assert write.result().seconds < 4
        assert {read.status for read in reads} == {200}
    assert server.ask("/v1/keys", key=key, body={"name": "in time"}).status == 201
    with database.connect() as connection:
        rows = connection.execute("SELECT name FROM apikeys_apikey").fetchall()
    assert sorted(name for (name,) in rows) == ["CI", "in time"]


def test_commit_waiting_for_a_replica_ends_and_delays_no_other_request(
    server, database, organization, key
):
    unused = server.manage("issue_api_key", organization, "--name", "unused")
    assert server.ask("/v1/auth/me", key=key).status == 200
    database.run("UPDATE apikeys_keysecret SET last_used_at = last_used_at - interval '1 hour'")
    with standby_away(database.connect), ThreadPoolExecutor() as pool:
        write = pool.submit(server.ask, "/v1/keys", key=key, body={"name": "unseen"})
        calls = [server.ask("/v1/auth/me", key=used) for used in (key, unused) for _ in "ab"]
        ready = server.ask("/readyz")
        while not ready.json()["warnings"] and not write.done():
            ready = server.ask("/readyz")
        unconfirmed = write.result()
    # A call that waited would take as long as the write.
    assert {(call.status, call.seconds < 4) for call in calls} == {(200, True)}
    assert ready.status == 200
    assert ready.json()["warnings"] == ["Commits wait for a synchronous replica: 1."]
    assert_unavailable(unconfirmed)
    assert "may have happened" in unconfirmed.json()["error"]["message"]
    assert 7.9 < unconfirmed.seconds < 2 * 10
    assert server.until("/readyz", 200).json()["warnings"] == []
    with database.connect() as connection:
        count = "SELECT count(*) FROM apikeys_keysecret WHERE last_used_at > now() - interval '1 m'"
        assert connection.execute(count).fetchone() == (2,)
        names = connection.execute("SELECT count(*) FROM apikeys_apikey WHERE name = 'unseen'")
        assert names.fetchone() == (1,)


def test_locked_table_fails_authentication_in_time(server, database, key):
    with database.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE apikeys_keysecret IN ACCESS EXCLUSIVE MODE")
        answer = server.ask("/v1/auth/me", key=key)
        assert_unavailable(answer)
        assert answer.seconds < 4
        assert server.ask("/healthz").status == 200
    assert server.ask("/v1/auth/me", key=key).status == 200


def test_lost_database_connections_fail_no_request(server, database, key):
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            warm = list(pool.map(lambda _: server.ask("/v1/auth/me", key=key), range(16)))
            assert {answer.status for answer in warm} == {200}
            database.cut_connections()
            after = list(pool.map(lambda _: server.ask("/v1/auth/me", key=key), range(16)))
        assert [answer.status for answer in after] == [200] * 16
        assert server.ask("/readyz").status == 200
        assert server.ask("/admin/", cookie="sessionid=" + "a" * 32).status == 302


def test_stopped_database_is_503_and_a_started_one_serves_again(server, database, key):
    database.stop()
    try:
        assert_unavailable(server.ask("/v1/auth/me", key=key))
        assert_unavailable(server.ask("/v1/keys", key=key, body={"name": "late"}))
        assert server.ask("/healthz").status == 200
        ready = server.ask("/readyz")
        assert ready.status == 503
        assert ready.json()["problems"] == ["The database does not answer."]
        # Requests that need no database are answered.
        assert server.ask("/v1/nope").status == 404
        assert server.ask("/v1/auth/me").status == 401
    finally:
        database.start()
    assert server.ask("/v1/auth/me", key=key).status == 200
    assert server.ask("/readyz").status == 200


def test_stopped_database_shows_the_back_soon_page_to_staff(server, database):
    cookie = "sessionid=" + "a" * 32
    assert server.ask("/admin/", cookie=cookie).status == 302
    database.stop()
    try:
        answer = server.ask("/admin/", cookie=cookie)
    finally:
        database.start()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "Back soon" in answer.body
    assert server.ask("/admin/", cookie=cookie).status == 302


def test_full_connection_limit_is_503_and_passes(server, database, key):
    database.run("ALTER DATABASE service CONNECTION LIMIT 0")
    try:
        database.cut_connections()
        assert_unavailable(server.ask("/v1/auth/me", key=key))
        assert server.ask("/healthz").status == 200
        assert server.ask("/readyz").status == 503
    finally:
        database.run("ALTER DATABASE service CONNECTION LIMIT -1")
    assert server.ask("/v1/auth/me", key=key).status == 200


def test_read_only_database_is_503_for_writes_and_passes(server, database, key):
    database.run("ALTER DATABASE service SET default_transaction_read_only = on")
    try:
        database.cut_connections()
        assert_unavailable(server.ask("/v1/keys", key=key, body={"name": "late"}))
        ready = server.ask("/readyz")
        assert (ready.status, ready.json()["problems"]) == (503, ["The database is read-only."])
    finally:
        # The read-only setting itself would prevent its own reset.
        database.run(
            "SET default_transaction_read_only = off",
            "ALTER DATABASE service RESET default_transaction_read_only",
        )
        database.cut_connections()
    assert server.ask("/v1/keys", key=key, body={"name": "again"}).status == 201


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE apikeys_apikey ADD COLUMN plaintext text",
        "CREATE TABLE mine (id int)",
        "DROP TABLE audit_auditevent",
    ],
)
def test_runtime_role_cannot_change_the_schema(server, database, statement):
    with database.connect() as connection:
        connection.execute("SET ROLE reachscore_app")
        connection.execute("SELECT count(*) FROM apikeys_apikey")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


# Each value differs from the default.
FOREIGN = {
    "default_transaction_isolation": "repeatable read",
    "default_transaction_deferrable": "on",
    "DateStyle": "German",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Tokyo",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "synchronous_commit": "local",
    "client_min_messages": "error",
    "bytea_output": "escape",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "lc_numeric": "C",
}


def test_runtime_role_has_the_session_settings_the_service_relies_on(server, database):
    query = "SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = 'reachscore_app'"
    with database.connect() as connection:
        found = dict(line.split("=") for (line,) in connection.execute(query))
    assert found == SESSION


def test_differing_role_settings_change_no_answer(server, database, organization, key):
    unused = server.ask("/v1/keys", key=key, body={"name": "never used"}).json()
    address = f"/v1/keys/{unused['id']}"
    before = server.ask(address, key=key).json()
    environ = {**server.environ, "PGDATESTYLE": "German", "PGTZ": "Asia/Tokyo"}
    database.run(
        *(f"ALTER ROLE reachscore_app SET {name} = '{value}'" for name, value in FOREIGN.items())
    )
    try:
        database.cut_connections()

        def create(number):
            return server.ask("/v1/keys", key=key, body={"name": f"at once {number}"})

        # Few at once: each waits for the organization's lock, and none longer than two seconds.
        with ThreadPoolExecutor(4) as pool:
            assert {answer.status for answer in pool.map(create, range(24))} == {201}
        assert server.ask("/v1/auth/me", key=key).status == 200
        assert server.ask("/v1/keys", key=key).status == 200
        assert server.ask(address, key=key).json() == before
        ready = server.ask("/readyz")
        assert (ready.status, ready.json()["warnings"]) == (200, [])
        issued = server._manage(environ, "issue_api_key", organization, "--name", "by command")
        assert server.ask("/v1/auth/me", key=issued).status == 200
        server._manage(environ, "verify_audit")
    finally:
        database.run("ALTER ROLE reachscore_app RESET ALL")
        database.cut_connections()
