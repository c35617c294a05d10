"""One server for all its users, from the first to the last, however they end."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from reachscore.embedded.cluster import Cluster
from reachscore.embedded.places import Place

from .conftest import StartUser
from .processes import everything_of, is_up, server_pid, wait_until, watcher_pid


def test_a_superuser_finds_the_database_by_the_socket_alone(home: Path, use: StartUser) -> None:
    use()
    with psycopg.connect(
        host=str(Cluster(home=home).socket_folder), user="reachscore", dbname="reachscore"
    ) as connection:
        row = connection.execute(
            "SELECT usesuper, current_setting('listen_addresses'), current_setting('fsync'),"
            " current_setting('TimeZone'), pg_encoding_to_char(encoding)"
            " FROM pg_user, pg_database WHERE usename = user AND datname = current_database()"
        ).fetchone()
    assert row == (True, "", "on", "UTC", "UTF8")


def test_the_server_stays_for_the_second_user_and_stops_after_the_last(
    home: Path, use: StartUser
) -> None:
    first, second = use(), use()
    server = server_pid(home)
    first.end()
    second.ensure_again()
    assert server_pid(home) == server
    second.end()
    wait_until(lambda: not is_up(home))


def test_users_who_come_at_the_same_moment_start_one_server(new_home: Path, use: StartUser) -> None:
    users = [use(ready=False) for _ in range(4)]
    for user in users:
        user.wait_ready()
    assert Place(new_home).log.read_text().count("ready to accept connections") == 1
    watcher_pid(new_home)  # asserts that there is one


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_user_ended_by_a_signal_leaves_no_server(
    home: Path, use: StartUser, ending: signal.Signals
) -> None:
    user = use()
    user.send(ending)
    wait_until(lambda: not is_up(home))


def test_ctrl_c_in_one_terminal_does_not_reach_the_server_of_another(
    home: Path, use: StartUser
) -> None:
    interrupted, other = use(), use()
    server, watcher = server_pid(home), watcher_pid(home)
    os.killpg(interrupted.process.pid, signal.SIGINT)  # as a terminal does
    interrupted.process.wait(timeout=30)
    other.ensure_again()
    assert (server_pid(home), watcher_pid(home)) == (server, watcher)


def test_a_child_that_outlives_its_parent_keeps_the_server(home: Path, use: StartUser) -> None:
    parent = use("fork")
    parent.process.wait(timeout=30)
    parent.ensure_again()  # it is the child who answers
    parent.hang_up()
    wait_until(lambda: not is_up(home))


def test_a_newcomer_while_the_server_is_being_stopped_gets_a_new_one(
    home: Path, use: StartUser
) -> None:
    for _ in range(3):
        use().end()  # the watcher begins to stop it just now
    use().ensure_again()
    watcher_pid(home)


def test_a_user_killed_while_the_server_starts_leaves_none(home: Path, use: StartUser) -> None:
    log = Place(home).log
    user = use(ready=False)
    wait_until(lambda: log.exists() and "starting PostgreSQL" in log.read_text())
    user.send(signal.SIGKILL)
    wait_until(lambda: "system is shut down" in log.read_text())


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_a_throwaway_cluster_goes_with_its_last_user(
    new_home: Path, tmp_path: Path, use: StartUser, where: str
) -> None:
    place = new_home if where == "inside" else tmp_path / "pg"
    user = use("throwaway", of=place)
    (cluster,) = everything_of(place)
    assert not list(cluster.glob("binaries-*"))  # nobody can run them where they are
    user.end()
    wait_until(lambda: not everything_of(place))
