"""`manage.py run_demo` in a process of its own, on the tests' cluster."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]

# Each worker of pytest-xdist has ports of its own, below those that the kernel gives to connections
# and above 10080, the last one that Chromium refuses. None is given twice before all are used.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
PORTS = cycle(random.sample(range(10_100 + 2_200 * WORKER, 12_300 + 2_200 * WORKER), 2_200))


def free_port() -> int:
    """Return a port that nobody uses, and that no other test is given before its server starts."""
    for port in PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("PORTS has no end.")


def manage(*args: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a management command to its end, beside other users of the cluster."""
    return subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


class DemoServer:
    """Starts on entry and is up when entered; ends with SIGTERM on exit."""

    def __init__(self, **environ: str) -> None:
        self.port = free_port()
        self.environ = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "REACHSCORE_TEST_PUBLIC_URL": f"http://localhost:{self.port}",
            **environ,
        }
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = ""

    def __enter__(self) -> "DemoServer":
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run_demo", "--port", str(self.port)],
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._up = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._up.wait(120):
            self.stop()
            raise AssertionError(f"The server did not start:\n{self.output}")
        if "/v1/auth/me" in self.output:
            self._wait_for_commit()
        return self

    def _wait_for_commit(self) -> None:
        """Return once the printed keys work: a first run prints them, then commits."""
        me = Request(f"{self.url}/v1/auth/me")
        me.add_header("Authorization", f"Bearer {self.key('test')}")

        def is_taken() -> bool:
            with suppress(HTTPError), urlopen(me):
                return True
            return False

        until(is_taken)

    def __exit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.stop()

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Stop the server; return its exit code. Everything printed is then in `output`."""
        self.process.send_signal(sign)
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=60)
        assert self.process.stdout
        self.process.stdout.close()
        return code

    def key(self, mode: str) -> str:
        """Return the key that a first run printed for this mode."""
        found = re.search(rf"{mode}\s+(rk_{mode}_\w+)", self.output)
        assert found, self.output
        return found[1]

    @property
    def password(self) -> str:
        """Return the admin's password, which a first run printed."""
        found = re.search(r"user admin, password (\S+)", self.output)
        assert found, self.output
        return found[1]

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            # The last thing that a first, and that a later start prints.
            if "/v1/auth/me" in line or "issue_api_key" in line:
                self._up.set()
        self._up.set()
