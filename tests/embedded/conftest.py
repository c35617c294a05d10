"""Homes and users that leave nothing behind, whatever a test does to them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reachscore.embedded.places import Place
from reachscore.embedded.remove import remove

from .processes import User, is_up, processes_naming, wait_until

StartUser = Callable[..., User]

# Memory where the system has it: most of the time would go into writing and removing data folders.
SHORT_FOLDERS = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"


def make_folder() -> Path:
    """Make a short folder that `nobody` can enter, unlike pytest's tmp_path under root."""
    made = Path(tempfile.mkdtemp(prefix="rs-", dir=SHORT_FOLDERS)).resolve()
    made.chmod(0o755)
    return made


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def new_home(folder: Path) -> Iterator[Path]:
    """A home that does not exist; a proof in the end that no process of it is left."""
    path = folder / "pg"
    yield path
    remove(path)
    wait_until(lambda: not processes_naming(path))


@pytest.fixture(scope="session")
def stopped_cluster() -> Iterator[Path]:
    """A cluster to copy from: initdb takes longer than everything else in most tests."""
    made = make_folder()
    user = User(made / "pg").wait_ready()
    user.end()
    wait_until(lambda: not is_up(made / "pg"))
    wait_until(lambda: not processes_naming(made))
    yield made / "pg"
    remove(made / "pg")
    shutil.rmtree(made)


@pytest.fixture
def home(new_home: Path, stopped_cluster: Path) -> Path:
    """A home whose cluster was used before and has stopped."""
    subprocess.run(["cp", "-a", stopped_cluster, new_home], check=True)
    Place(new_home).log.unlink()
    return new_home


@pytest.fixture
def use(new_home: Path) -> Iterator[Callable[..., User]]:
    """Start a user of the home (or of another one) and wait until it has the cluster."""
    users: list[User] = []

    def start(*options: str, of: Path | None = None, ready: bool = True, **how: Any) -> User:
        user = User(of or new_home, *options, **how)
        users.append(user)
        return user.wait_ready() if ready else user

    yield start
    for user in users:
        user.close()
