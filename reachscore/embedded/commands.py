"""Run PostgreSQL's programs, and leave processes behind, with nothing of the caller's in them."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, TypedDict

from reachscore.embedded.account import Account

# No PG* variable, locale or time zone of the caller reaches a program of PostgreSQL.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": os.defpath + ":/usr/local/bin:/usr/sbin:/sbin",
    "LC_ALL": "C",
    "TZ": "UTC",
}

# The shell ends at once, so what it left belongs to init, who reaps it: a child of ours would stay
# a zombie with the pid that postmaster.pid names for as long as we live.
LEAVE_BEHIND = '"$@" >&2 &'


class Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    account: Account,
    text: str = "",
    held_locks: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program as that account to its end; `held_locks` stay locked until it ends.

    A program that this account cannot execute at all answers 126, as a shell would say it.
    """
    try:
        return subprocess.run(  # noqa: S603  no shell, and no words of a stranger
            command,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,  # Ctrl-C is ours to handle: it must not tear initdb apart
            pass_fds=held_locks,
            **_identity(account),
        )
    except (OSError, subprocess.SubprocessError) as error:
        return subprocess.CompletedProcess(command, 126, "", str(error))


def leave_running(
    command: Sequence[str | os.PathLike[str]],
    *,
    account: Account,
    log: IO[bytes],
    held_locks: Sequence[int],
    environment: Mapping[str, str] = ENVIRONMENT,
) -> None:
    """Start a program that outlives this process, out of reach of its terminal's signals."""
    subprocess.run(  # noqa: S603  the words reach the shell as arguments, not as its text
        ["/bin/sh", "-c", LEAVE_BEHIND, "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        check=True,
        cwd="/",
        env=environment,
        start_new_session=True,
        pass_fds=held_locks,
        **_identity(account),
    )


def _identity(account: Account) -> Identity:
    if account.is_ours:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}
