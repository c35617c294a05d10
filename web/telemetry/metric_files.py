"""prometheus_client's multiprocess mode, hardened: workers share their values in mapped files.

A full disk or a corrupt file costs metrics, never a request or a scrape.
"""

import logging
import os
import struct
from collections.abc import Iterable
from functools import cache
from glob import glob
from typing import Any, Final

from prometheus_client import Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

logger = logging.getLogger("reachscore.metrics")

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads this variable.
FIRST_BYTES: Final = 2**16
MOST_BYTES_BESIDE_THE_KEY: Final = 28


class ReservedDict(MmapedDict):
    """Values in a mapped file whose disk space is allocated before it is written to, or OSError.

    A write to a mapped page for which the disk has no room kills the process (SIGBUS).
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        _reserve(filename, FIRST_BYTES)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + MOST_BYTES_BESIDE_THE_KEY > self._capacity:
            _reserve(self._fname, 2 * self._capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]


def _reserve(file: str, size: int) -> None:
    """Append zeros up to `size`. Unlike truncate(), this allocates disk space."""
    with open(file, "ab") as end:
        end.write(bytes(max(0, size - end.tell())))


def share_values() -> None:
    """Keep the values of all metrics created later in the shared folder, if there is one.

    If the disk is full, a value stays in this worker's memory and is missing from scrapes.
    """
    if FOLDER not in os.environ:
        return
    mapped = values.ValueClass

    def value(*args: Any, **kwargs: Any) -> Any:
        try:
            return mapped(*args, **kwargs)
        except OSError as error:
            warn_once(f"Metrics are missing until a restart: {error.strerror}.")
            return values.MutexValue(*args, **kwargs)  # type: ignore[no-untyped-call]

    values.MmapedDict = ReservedDict  # type: ignore[attr-defined]
    values.ValueClass = value


class SharedFiles(Collector):
    """Collects the sum over all workers' files, except those that cannot be read."""

    def collect(self) -> Iterable[Metric]:
        files = filter(_is_whole, glob(os.path.join(os.environ[FOLDER], "*.db")))
        return MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call, no-any-return]


def _is_whole(file: str) -> bool:
    try:
        MultiProcessCollector.merge([file])  # type: ignore[no-untyped-call]
    except (OSError, struct.error, RuntimeError, ValueError, TypeError, AttributeError) as error:
        warn_once(f"{os.path.basename(file)} is missing from metrics: {type(error).__name__}.")
        return False
    return True


@cache
def warn_once(text: str) -> None:
    """Log a warning, once in each process."""
    logger.warning(text)
