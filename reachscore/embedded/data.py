"""Make the data folder of a major version, whole or not at all."""

import shutil
from pathlib import Path

from reachscore.embedded.account import Account, server_account
from reachscore.embedded.binaries import Binaries
from reachscore.embedded.commands import run
from reachscore.embedded.errors import EmbeddedPostgresError
from reachscore.embedded.places import Place, make_folder
from reachscore.embedded.server import SUPERUSER

DATABASE = "reachscore"
BUILTIN_LOCALE_SINCE = 17
UNFINISHED = ".unfinished"


def data_folder(place: Place, binaries: Binaries, *, throwaway: bool, server_lock: int) -> Path:
    """Return the data folder of these programs' major version, made where it is missing.

    It is made under another name and renamed when it is complete, so nobody ever sees half of one.
    The held server lock is passed on to initdb: were we killed, an initdb that goes on alone keeps
    everybody else waiting until it has ended, and what it left is swept by the next start.
    """
    for leftover in place.folder.glob(f"*{UNFINISHED}"):
        shutil.rmtree(leftover)
    account = server_account()
    major = binaries.major(account)
    finished = place.folder / str(major)
    if not finished.exists():
        fresh = place.folder / f"{major}{UNFINISHED}"
        make_folder(fresh, 0o700)
        account.own(fresh)
        _initdb(fresh, binaries, major, account, throwaway=throwaway, server_lock=server_lock)
        _create_database(fresh, binaries, account, throwaway=throwaway, server_lock=server_lock)
        fresh.rename(finished)
    return finished


def _initdb(
    folder: Path,
    binaries: Binaries,
    major: int,
    account: Account,
    *,
    throwaway: bool,
    server_lock: int,
) -> None:
    """Sort by code point on every system: C.UTF-8 of PostgreSQL, else the system's, else C."""
    choices = [["--locale=C.UTF-8"], ["--locale=C"]]  # not every system has the former
    if major >= BUILTIN_LOCALE_SINCE:
        choices = [["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]]
    for locale in choices:
        command: list[str | Path] = [
            binaries.program("initdb"),
            f"--pgdata={folder}",
            f"--username={SUPERUSER}",
            "--auth=trust",  # the socket's folder lets nobody else in
            "--encoding=UTF8",
            *locale,
            *(["--no-sync"] if throwaway else []),
        ]
        told = run(command, account=account, held_locks=[server_lock])
        if told.returncode == 0:
            return
    raise EmbeddedPostgresError(
        f"initdb of {binaries.bin_folder} could not make a cluster in {folder.parent}: "
        f"{(told.stderr or told.stdout).strip()} Remove that folder, or set DATABASE_URL."
    )


def _create_database(
    folder: Path, binaries: Binaries, account: Account, *, throwaway: bool, server_lock: int
) -> None:
    """Create the database without a server: part of the whole that the rename makes visible."""
    command: list[str | Path] = [
        binaries.program("postgres"),
        "--single",
        *(["-F"] if throwaway else []),
        "-D",
        folder,
        "-c",
        "log_checkpoints=off",
        "postgres",
    ]
    sql = f"CREATE DATABASE {DATABASE};\n"
    told = run(command, account=account, text=sql, held_locks=[server_lock])
    # It goes on after an error and ends with 0.
    if told.returncode != 0 or "ERROR:" in told.stderr:
        raise EmbeddedPostgresError(
            f"PostgreSQL could not create the database {DATABASE}: {told.stderr.strip()} "
            "Repair that, or set DATABASE_URL."
        )
