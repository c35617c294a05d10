"""What the figures were measured on, and with which versions."""

import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCAL: Final = ROOT / ".local" / "bench"  # What is made on this machine; git ignores it.

PACKAGES: Final = (
    "django",
    "djangorestframework",
    "granian",
    "psycopg",
    "djangorestframework-api-key",
    "django-rest-knox",
    "django-ninja",
    "redis",
)


def describe(*, command: str, postgres: str, tools: dict[str, str]) -> dict[str, Any]:
    """Return what a reader needs in order to repeat the run or to doubt it."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "commit": commit(),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(memory_bytes() / 2**30),
            "kernel": platform.release(),
        },
        "versions": {
            "Python": platform.python_version(),
            "PostgreSQL": postgres,
            **tools,
            **{name: version(name) for name in PACKAGES},
        },
    }


def command_line(module: str) -> str:
    """Return how this program was started, without paths of this machine."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def commit() -> str:
    """Return the commit at hand, and whether something was not committed."""
    head = git("rev-parse", "--short=12", "HEAD")
    return f"{head} with changes" if git("status", "--porcelain", "--", ".") else head


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("unknown" if done.returncode else "")


def processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def say(text: str) -> None:
    """Show progress, on stderr."""
    sys.stderr.write(f"{datetime.now().astimezone():%H:%M:%S} {text}\n")
    sys.stderr.flush()
