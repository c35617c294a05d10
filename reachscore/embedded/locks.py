"""Locks that the kernel gives back however their holder ends.

A lock of flock belongs to an open file, not to a process: a forked child and a program that the
descriptor was passed to hold it too, and it ends when the last of them has ended. All descriptors
here are close-on-exec unless they are passed on deliberately.
"""

import fcntl
import os
from pathlib import Path

SHARED = fcntl.LOCK_SH
EXCLUSIVE = fcntl.LOCK_EX
AT_ONCE = fcntl.LOCK_NB


def take(path: Path, how: int) -> int | None:
    """Lock the file at `path`, made if it is missing, and return its open descriptor.

    None: with AT_ONCE that somebody else holds it; else that the file, or its folder, was removed
    meanwhile, so that a lock on what was opened would protect nothing.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, how)
        if is_of(descriptor, path):
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def is_of(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one that other processes find at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
