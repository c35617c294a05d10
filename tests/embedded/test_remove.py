"""`python3 -m reachscore.embedded.remove <home>`, which `make clean` runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from reachscore.embedded.places import Place

from .conftest import StartUser
from .processes import everything_of, is_up, processes_naming, server_pid, watcher_pid


def remove_by_command(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # -S: it must work without an environment
        [sys.executable, "-S", "-m", "reachscore.embedded.remove", str(home)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_nothing_is_removed_without_complaint(new_home: Path) -> None:
    for _ in range(2):
        told = remove_by_command(new_home)
        assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_a_cluster_in_use_is_refused_in_one_sentence(home: Path, use: StartUser) -> None:
    use()
    told = remove_by_command(home)
    assert told.returncode == 1
    assert "is still in use" in told.stderr
    assert told.stderr.count("\n") == 1
    assert is_up(home)


def test_an_orphaned_server_is_stopped_and_everything_removed(home: Path, use: StartUser) -> None:
    user = use()
    os.kill(watcher_pid(home), signal.SIGKILL)
    server = server_pid(home)
    user.end()
    assert remove_by_command(home).returncode == 0
    assert server not in processes_naming(home)
    assert not everything_of(home)


def test_right_after_the_last_user_it_waits_for_the_watcher(home: Path, use: StartUser) -> None:
    use().end()
    assert remove_by_command(home).returncode == 0
    assert not everything_of(home)


def test_the_rest_of_a_killed_removal_is_swept(new_home: Path, use: StartUser) -> None:
    rest = new_home.with_name("pg.removed-1")
    rest.mkdir()
    remove_by_command(new_home)
    assert not rest.exists()


def test_a_folder_that_is_no_cluster_is_refused_and_kept(new_home: Path) -> None:
    new_home.mkdir()
    (new_home / "treasure.txt").touch()
    assert "no embedded PostgreSQL" in remove_by_command(new_home).stderr
    (new_home / "treasure.txt").unlink()
    assert not Place(new_home).users_lock.exists()
