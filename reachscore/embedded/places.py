"""Where a cluster lies: one folder of ours with everything in it, and the folder of its socket."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from reachscore.embedded.account import Account, caller, server_account
from reachscore.embedded.binaries import Binaries
from reachscore.embedded.commands import run
from reachscore.embedded.errors import EmbeddedPostgresError

PORT = 5432  # only names the socket file: there is no TCP port
LONGEST_SOCKET_PATH = 99  # bytes; the kernel's own limit is 103 on macOS and 107 on Linux


@dataclass(frozen=True)
class Place:
    """The folder that holds locks, log, data and perhaps the socket of one cluster.

    All of it is in one folder, so that removing the folder removes the cluster, and no lock can
    speak for data that lies elsewhere.
    """

    folder: Path

    @property
    def users_lock(self) -> Path:
        """Shared by every process that uses the server; the watcher waits for it alone."""
        return self.folder / "users.lock"

    @property
    def server_lock(self) -> Path:
        """Held by who starts the server and by every PostgreSQL process; free: none is alive."""
        return self.folder / "server.lock"

    @property
    def watcher_lock(self) -> Path:
        """Held by the living watcher."""
        return self.folder / "watcher.lock"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def data_folders(self) -> list[Path]:
        """The finished ones, each named by its major version."""
        return [folder for folder in self.folder.glob("[1-9]*") if folder.name.isdigit()]

    @property
    def socket_folder(self) -> Path:
        """Inside the folder where that keeps the path short, else a short one in /tmp."""
        inside = self.folder / "socket"
        if len(os.fsencode(socket_path(inside))) <= LONGEST_SOCKET_PATH:
            return inside
        return Path("/tmp") / f"reachscore-{os.geteuid()}-{short_hash(self.folder)}"  # noqa: S108 # nosec B108

    def make(self) -> None:
        """Make the folder where it is missing, and refuse one that is not ours."""
        # nobody has to pass through; what is inside looks after itself.
        mode = 0o700 if server_account().is_ours else 0o755
        for missing in reversed([p for p in (self.folder, *self.folder.parents) if not p.exists()]):
            make_folder(missing, mode)
        check_owner(self.folder, caller())
        if os.geteuid() == 0 and os.lstat(self.folder).st_mode & 0o022:
            raise EmbeddedPostgresError(
                f"{self.folder} can be written by others than root, so root does not use it: "
                "look at what is in it and remove it, or set DATABASE_URL."
            )
        if any(self.folder.iterdir()) and not self.users_lock.exists():
            raise EmbeddedPostgresError(
                f"{self.folder} holds files that the embedded PostgreSQL did not make: "
                "give it an empty or a new folder."
            )

    def make_socket_folder(self) -> None:
        """Make the socket's folder for the server's account alone, or refuse the one there is."""
        account = server_account()
        make_folder(self.socket_folder, 0o700)
        if os.lstat(self.socket_folder).st_uid == os.geteuid():  # just made, or never handed over
            check_private(self.socket_folder, caller())
            account.own(self.socket_folder)
        check_private(self.socket_folder, account)


def socket_path(folder: Path) -> Path:
    return folder / f".s.PGSQL.{PORT}"


def short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def outside(home: Path) -> Place:
    """Return the place for a home that `nobody` cannot use; only root ever needs it."""
    bases = [base for base in ("/var/lib", "/var/db", "/var/tmp") if os.path.isdir(base)]  # noqa: S108 # nosec B108
    return Place(Path(bases[0] if bases else "/") / f"reachscore-{short_hash(home)}")


def place_for(home: Path, binaries: Binaries) -> Place:
    """Return the home itself wherever the server's account can use it, else the outside place.

    Whether it can is tried, not computed from permission bits, which know nothing of ACLs, mounts
    and containers. A home that root does not own is another user's cluster, so root leaves it.
    """
    account = server_account()
    if account.is_ours:
        return Place(home)
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    usable = run(["/bin/sh", "-c", 'cd "$1"', "sh", nearest], account=account).returncode == 0
    if usable and (nearest != home or home.stat().st_uid == 0) and binaries.version(account):
        return Place(home)
    return outside(home)


def make_folder(folder: Path, mode: int) -> None:
    """Make one folder with just this mode, whatever the umask; leave it alone where it exists."""
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        return
    os.chmod(folder, mode)


def check_owner(folder: Path, account: Account) -> None:
    """Refuse what is not a real folder, or is somebody else's."""
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
        raise EmbeddedPostgresError(
            f"{folder} is not a folder of uid {account.uid} (it belongs to uid {found.st_uid}): "
            "work as the user who made it, or remove it, or set DATABASE_URL."
        )


def check_private(folder: Path, account: Account) -> None:
    """Refuse a folder that is somebody else's or that anybody else can enter."""
    check_owner(folder, account)
    if (mode := stat.S_IMODE(os.lstat(folder).st_mode)) & 0o077:
        raise EmbeddedPostgresError(
            f"{folder} must be open to its owner only, but its mode is {mode:o}: remove it."
        )
