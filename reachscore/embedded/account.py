"""Which account the server runs as."""

import os
import pwd
from dataclasses import dataclass

from reachscore.embedded.errors import EmbeddedPostgresError


@dataclass(frozen=True)
class Account:
    """The user and group of the server's processes and of its data and socket folders."""

    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether the server runs as the very user who runs this process."""
        return self.uid == os.geteuid()

    def own(self, path: str | os.PathLike[str]) -> None:
        """Hand over a file or folder that this process has just made."""
        if not self.is_ours:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def caller() -> Account:
    """Return the account that this process runs as."""
    return Account(os.geteuid(), os.getegid())


def server_account() -> Account:
    """Return `nobody` for root, because PostgreSQL refuses to run as root, else the caller."""
    if os.geteuid() != 0:
        return caller()
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root and this system has no user nobody to run it as: "
            "work as another user, or set DATABASE_URL."
        ) from None
    return Account(nobody.pw_uid, nobody.pw_gid)
