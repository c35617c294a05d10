"""What killed processes leave behind does not keep the next user from a working server."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reachscore.embedded.account import server_account
from reachscore.embedded.places import Place, socket_path

from .conftest import StartUser
from .processes import (
    AS_ROOT,
    data_folder,
    is_up,
    processes_naming,
    server_pid,
    wait_until,
    watcher_pid,
)


@pytest.fixture
def someone_else() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the server's account that is no server: the owner of a recycled pid."""
    uid = server_account().uid if AS_ROOT else None
    with subprocess.Popen(["sleep", "600"], user=uid) as process:
        yield process
        process.kill()


def claim(home: Path, pid: int) -> None:
    """Leave the pid files of a dead server as they would be if that pid were the server's."""
    data = data_folder(home)
    line = (pid, data, 1, 5432, Place(home).socket_folder, "", "  1234567         0", "ready   ")
    text = "".join(f"{value}\n" for value in line)
    Place(home).make_socket_folder()
    for path in (data / "postmaster.pid", Path(f"{socket_path(Place(home).socket_folder)}.lock")):
        path.write_text(text)
        server_account().own(path)


def test_a_process_whose_server_was_killed_ensures_a_new_one(home: Path, use: StartUser) -> None:
    user = use()
    killed = server_pid(home)
    os.kill(killed, signal.SIGKILL)
    user.ensure_again()
    assert is_up(home)
    assert server_pid(home) != killed


def test_an_orphaned_server_is_adopted_by_the_next_user(home: Path, use: StartUser) -> None:
    first = use()
    os.kill(watcher_pid(home), signal.SIGKILL)
    server = server_pid(home)
    first.end()
    assert is_up(home)  # nobody is left to stop it
    second = use()
    assert server_pid(home) == server
    second.end()
    wait_until(lambda: not is_up(home))


def test_an_interrupted_initdb_is_never_seen(new_home: Path, use: StartUser) -> None:
    interrupted = use(ready=False)
    wait_until(lambda: list(new_home.glob("*.unfinished/base")))
    interrupted.send(signal.SIGKILL)
    assert not Place(new_home).data_folders
    use()
    assert is_up(new_home)
    assert not list(new_home.glob("*.unfinished"))


def test_a_pid_file_of_a_dead_server_is_no_obstacle(home: Path, use: StartUser) -> None:
    claim(home, 2**22 + 1)  # beyond every pid
    use()
    assert is_up(home)


def test_an_empty_pid_file_is_no_obstacle(home: Path, use: StartUser) -> None:
    claim(home, 1)
    os.truncate(data_folder(home) / "postmaster.pid", 0)
    use()
    assert is_up(home)


def test_a_recycled_pid_is_no_obstacle_and_its_process_is_left_alone(
    home: Path, use: StartUser, someone_else: subprocess.Popen[bytes]
) -> None:
    claim(home, someone_else.pid)
    use().end()
    wait_until(lambda: not is_up(home))
    assert someone_else.poll() is None


def test_a_zombie_postmaster_is_no_obstacle(
    home: Path, use: StartUser, someone_else: subprocess.Popen[bytes]
) -> None:
    os.kill(someone_else.pid, signal.SIGKILL)  # not waited for: a zombie until the test ends
    claim(home, someone_else.pid)
    use()
    assert is_up(home)


def test_a_home_taken_away_under_a_running_server_is_made_again(home: Path, use: StartUser) -> None:
    user = use()
    away = home.rename(home.with_name("away"))
    user.ensure_again()
    assert is_up(home)
    assert server_pid(home) != server_pid(away)
    os.kill(server_pid(away), signal.SIGQUIT)  # last, for it deletes the socket at its old path
    wait_until(lambda: not (data_folder(away) / "postmaster.pid").exists())


def test_a_server_whose_socket_was_deleted_is_replaced(home: Path, use: StartUser) -> None:
    user = use()
    shutil.rmtree(Place(home).socket_folder)
    user.ensure_again()
    assert is_up(home)


def test_a_server_whose_socket_was_deleted_is_stopped(home: Path, use: StartUser) -> None:
    user = use()
    server = server_pid(home)
    shutil.rmtree(Place(home).socket_folder)
    user.end()
    wait_until(lambda: server not in processes_naming(home))


def test_a_failed_start_shows_what_the_server_said(home: Path, use: StartUser) -> None:
    with (data_folder(home) / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    refusal = use(ready=False).refusal()
    assert 'unrecognized configuration parameter "no_such_setting"' in refusal
    assert "set DATABASE_URL" in refusal
