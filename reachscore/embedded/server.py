"""Ask, start and stop the server of a place."""

import os
import signal
import socket
import struct
import time
from enum import Enum
from pathlib import Path

from reachscore.embedded import locks
from reachscore.embedded.account import caller, server_account
from reachscore.embedded.commands import leave_running, run
from reachscore.embedded.log import open_log
from reachscore.embedded.places import PORT, Place, socket_path

SUPERUSER = "reachscore"
PROTOCOL = 196608  # 3.0
PATIENCE = 5.0  # seconds for one answer
PAUSE = 0.01  # seconds between two looks
FAST_STOP, IMMEDIATE_STOP = (signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)  # and seconds for each

# Larger than any pid a kernel gives out, so PostgreSQL finds it dead.
NO_PROCESS = 2**31 - 1

# The server of a throwaway cluster need not survive the machine, only its own processes.
THROWAWAY_SETTINGS = ("fsync=off", "full_page_writes=off")


class Answer(Enum):
    NONE = "nobody listens"
    NOT_YET = "a server listens which starts, stops or is stuck"
    READY = "a server takes connections"


def ask(place: Place) -> Answer:
    """Prove that a server answers by opening a session: a pid file alone proves nothing."""
    if not any((data / "postmaster.pid").exists() for data in place.data_folders):
        return Answer.NONE  # a server whose data was removed listens on for up to a minute
    words = b"user\0" + SUPERUSER.encode() + b"\0database\0postgres\0\0"
    hello = struct.pack("!ii", len(words) + 8, PROTOCOL) + words
    goodbye = b"X" + struct.pack("!i", 4)
    with socket.socket(socket.AF_UNIX) as session:
        session.settimeout(PATIENCE)
        try:
            session.connect(str(socket_path(place.socket_folder)))
        except TimeoutError:
            return Answer.NOT_YET
        except OSError:
            return Answer.NONE
        heard = b""
        try:
            session.sendall(hello + goodbye)
            while chunk := session.recv(4096):
                heard += chunk
        except OSError:
            pass  # what was heard until then decides
    # 57P03, cannot_connect_now: any other refusal comes from a server that is up.
    return Answer.NOT_YET if not heard or b"C57P03\0" in heard else Answer.READY


def launch(place: Place, postgres: Path, data: Path, *, throwaway: bool, server_lock: int) -> None:
    """Start the server and return at once; it inherits the held lock, which outlives its starter.

    That lock tells a living server from a zombie, from a recycled pid and from a backend that
    survived its postmaster, everywhere and without looking at processes. Holding it, we know that
    no server of this place lives, whatever the pid files say.
    """
    place.make_socket_folder()
    for stale in (data / "postmaster.pid", Path(f"{socket_path(place.socket_folder)}.lock")):
        name_no_process(stale)
    folders = str(place.socket_folder).replace('"', '""')
    settings = [
        "listen_addresses=",
        f"port={PORT}",
        f'unix_socket_directories="{folders}"',
        "timezone=UTC",
        "log_timezone=UTC",
        "dynamic_shared_memory_type=mmap",  # in the data folder: nothing is left when it is killed
        *(THROWAWAY_SETTINGS if throwaway else ()),
    ]
    options = [option for setting in settings for option in ("-c", setting)]
    with open_log(place) as log:
        leave_running(
            [postgres, "-D", data, *options],
            account=server_account(),
            log=log,
            held_locks=[server_lock],
        )


def name_no_process(pid_file: Path) -> None:
    """Make a stale pid file name a process that cannot exist, and keep its other lines.

    PostgreSQL refuses to start while that pid is anybody's it may signal. Deleting the file would
    also delete the shared memory key by which it recognizes backends of the earlier server.
    """
    try:
        _, _, rest = pid_file.read_text(encoding="utf-8", errors="replace").partition("\n")
    except FileNotFoundError:
        return
    # As the server's account: root must not write through a link that somebody left in there.
    run(["tee", pid_file], account=server_account(), text=f"{NO_PROCESS}\n{rest}")


def stop(place: Place) -> bool:
    """Stop the server, gently first; True once no PostgreSQL process of this place is left.

    Without a postmaster to signal it waits: one that was just launched will show itself, one that
    ends will be gone, and so will backends which survived theirs.
    """
    for request, patience in (FAST_STOP, IMMEDIATE_STOP):
        deadline, asked = time.monotonic() + patience, False
        while time.monotonic() < deadline:
            lock = locks.take(place.server_lock, locks.EXCLUSIVE | locks.AT_ONCE)
            if lock is not None:
                os.close(lock)
                return True
            asked = asked or signal_postmaster(place, request)
            time.sleep(PAUSE)
    return False


def signal_postmaster(place: Place, request: signal.Signals) -> bool:
    """Signal the server if there is proof of its pid: it may have become another process's.

    Proof is an answer on the socket, whose lock file names who listens; or, where somebody
    deleted the socket, a living postgres of that data folder under the pid of its pid file.
    """
    if ask(place) is not Answer.NONE:
        pid = _pid_in(Path(f"{socket_path(place.socket_folder)}.lock"))
        return pid is not None and _send(pid, request)
    for data in place.data_folders:
        pid = _pid_in(data / "postmaster.pid")
        if pid is not None and f"postgres -D {data} " in command_line(pid):
            return _send(pid, request)
    return False


def command_line(pid: int) -> str:
    """Return the words of a living process, "" for a zombie or none at all."""
    if os.path.isdir("/proc/self"):
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            return ""
    return run(["ps", "-ww", "-o", "command=", "-p", str(pid)], account=caller()).stdout


def _pid_in(pid_file: Path) -> int | None:
    try:
        with open(pid_file, "rb") as lines:
            return int(lines.readline())
    except (FileNotFoundError, ValueError):
        return None  # it is just ending, or has not written it yet


def _send(pid: int, request: signal.Signals) -> bool:
    try:
        os.kill(pid, request)
    except ProcessLookupError:
        return False
    return True
