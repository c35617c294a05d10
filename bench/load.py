"""One run of wrk against one server, with what it took."""

import json
import random
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import cpu_seconds

SCRIPT: Final = Path(__file__).with_name("requests.lua")
PATH: Final = "/v1/auth/me"


def write_requests(
    file: Path,
    authorizations: Iterable[str],
    *,
    method: str = "GET",
    path: str = PATH,
    body: str = "",
) -> Path:
    """Write the requests of a file, one for each Authorization header; return the file."""
    file.write_text("".join(f"{method}\t{path}\t{one}\t{body}\n" for one in authorizations))
    file.chmod(0o600)
    return file


def first_authorization(file: Path) -> str:
    """Return the Authorization header of a file's first request."""
    with file.open() as lines:
        return lines.readline().split("\t")[2]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of some seconds measured."""

    requests_a_second: float
    cpu_ms: float  # Of the server's own processes, a request.
    p50_ms: float
    p99_ms: float
    requests: int
    refused: int  # Answered from 400 on.
    broken: int  # Not answered.


def put_load(
    url: str,
    file: Path,
    *,
    server: int,
    connections: int,
    seconds: int,
    in_order: bool = False,
) -> Run:
    """Send a file's requests as fast as they are answered, over kept connections.

    At random; or `in_order`, each once, until they are used up or the time is.
    """
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
    command += ["--latency", "--timeout=20s", f"--script={SCRIPT}", url]
    command += [
        "--",
        str(file),
        "in-order" if in_order else "at-random",
        str(random.randrange(2**31)),
    ]
    before = cpu_seconds(server)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    used = cpu_seconds(server) - before
    told = json.loads(done.stdout.splitlines()[-1])
    requests = int(told["requests"])
    return Run(
        requests_a_second=requests / told["microseconds"] * 1e6,
        cpu_ms=used / max(requests, 1) * 1000,
        p50_ms=told["p50"] / 1000,
        p99_ms=told["p99"] / 1000,
        requests=requests,
        refused=int(told["refused"]),
        broken=int(told["broken"]),
    )
