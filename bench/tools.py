"""The programs of the system that a run needs."""

import re
import shutil
import subprocess
import sys
from typing import Final

HINT: Final = "Debian, Ubuntu: apt install wrk redis-server"


def require_wrk() -> str:
    """Return the load generator's version. Ends the program with a hint where there is none."""
    if sys.platform != "linux":
        sys.exit("The benchmark pins processes and reads their times from /proc: it wants Linux.")
    if shutil.which("wrk") is None:
        sys.exit(f"wrk, the load generator, is missing. {HINT}")
    told = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"wrk (?:debian/)?(\S+)", told.stdout + told.stderr)
    return found[1] if found else "unknown"


def redis_version() -> str | None:
    """Return Redis's version; None where it is missing, and with it the peers that need it."""
    if shutil.which("redis-server") is None:
        return None
    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"v=(\S+)", told.stdout)
    return found[1] if found else "unknown"
